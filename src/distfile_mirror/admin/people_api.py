"""The REST API's operations on users and tokens."""

from django.http import HttpRequest
from ninja import Router, Status

from distfile_mirror.admin import people, tokens
from distfile_mirror.admin.answers import BY_ID, CHANGING, DECLARING, READING
from distfile_mirror.admin.documents import ProblemDocument
from distfile_mirror.admin.identity import actor_of, identity_of
from distfile_mirror.admin.people_documents import (
    NewTokenDocument,
    PasswordBody,
    TokenBody,
    TokenDocument,
    TokenList,
    UserAmendment,
    UserBody,
    UserDocument,
    UserList,
    token_document,
    user_document,
)

router = Router()


@router.get(
    "/users", response={200: UserList, READING: ProblemDocument}, summary="List users", operation_id="list_users"
)
def list_users(request: HttpRequest) -> UserList:  # noqa: ARG001
    """All of them, by name."""
    return UserList(users=list(map(user_document, people.list_users())))


@router.post(
    "/users", response={201: UserDocument, DECLARING: ProblemDocument}, summary="Add a user", operation_id="add_user"
)
def add_user(request: HttpRequest, body: UserBody) -> Status[UserDocument]:
    """They sign in with the password, and can change it."""
    user = people.add_user(body.name, role=body.role, password=body.password, actor=actor_of(request))
    return Status(201, user_document(user))


@router.get(
    "/users/{int:user_id}",
    response={200: UserDocument, BY_ID: ProblemDocument},
    summary="Show a user",
    operation_id="show_user",
)
def show_user(request: HttpRequest, user_id: int) -> UserDocument:  # noqa: ARG001
    """Who it is, and their role."""
    return user_document(people.get_user(user_id))


@router.patch(
    "/users/{int:user_id}",
    response={200: UserDocument, CHANGING: ProblemDocument},
    summary="Give a role, disable or enable",
    operation_id="amend_user",
)
def amend_user(request: HttpRequest, user_id: int, body: UserAmendment) -> UserDocument:
    """The last administrator stays one."""
    actor = actor_of(request)
    if body.role is not None:
        people.set_role(user_id, body.role, actor=actor)
    if body.is_active is not None:
        people.set_active(user_id, is_active=body.is_active, actor=actor)
    return user_document(people.get_user(user_id))


@router.post(
    "/users/{int:user_id}/password",
    response={200: UserDocument, CHANGING: ProblemDocument},
    summary="Set a user's password",
    operation_id="set_password",
)
def set_password(request: HttpRequest, user_id: int, body: PasswordBody) -> UserDocument:
    """Their sessions end."""
    return user_document(people.set_password(user_id, body.password, actor=actor_of(request)))


@router.get(
    "/tokens", response={200: TokenList, READING: ProblemDocument}, summary="List tokens", operation_id="list_tokens"
)
def list_tokens(request: HttpRequest) -> TokenList:
    """One's own; for administrators everybody's."""
    return TokenList(tokens=list(map(token_document, tokens.list_tokens(identity_of(request)))))


@router.post(
    "/tokens",
    response={201: NewTokenDocument, DECLARING: ProblemDocument},
    summary="Make a token",
    operation_id="create_token",
)
def create_token(request: HttpRequest, body: TokenBody) -> Status[NewTokenDocument]:
    """Its secret is told only now. One that is made with a token ends no later than that."""
    made = tokens.create_token(identity_of(request), name=body.name, role=body.role, days=body.days)
    return Status(201, NewTokenDocument(**token_document(made.token).model_dump(), secret=made.secret))


@router.delete(
    "/tokens/{int:token_id}",
    response={200: TokenDocument, CHANGING: ProblemDocument},
    summary="Revoke a token",
    operation_id="revoke_token",
)
def revoke_token(request: HttpRequest, token_id: int) -> TokenDocument:
    """One's own; for administrators anybody's."""
    return token_document(tokens.revoke_token(identity_of(request), token_id))
