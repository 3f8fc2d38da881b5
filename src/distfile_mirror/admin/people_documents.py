"""The shapes of the REST API for users, tokens and approvals."""

from datetime import datetime
from typing import Literal

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.documents import MAX_PAGE_SIZE, Input
from distfile_mirror.admin.models import ApiToken, User
from distfile_mirror.catalog.approval import Decided
from distfile_mirror.model.roles import Role


class UserBody(Input):
    """Somebody who will sign in with a password."""

    name: str = Field(examples=["alice"])
    role: Role
    password: str = Field(examples=["seven lanterns over the harbour"])


class UserAmendment(Input):
    """What is to be changed; what is not given stays."""

    role: Role | None = None
    is_active: bool | None = Field(None, description="False disables: sessions and tokens end with that.")


class PasswordBody(Input):
    """A password."""

    password: str


class UserDocument(Schema):
    """A user."""

    id: int
    name: str
    role: Role
    source: str = Field(description="By which sign-in they come: accounts, oidc or header.")
    is_active: bool
    last_login: datetime | None = Field(description="When a session began; null for who comes by header.")
    created_at: datetime


class UserList(Schema):
    """All users, by name."""

    users: list[UserDocument]


class TokenBody(Input):
    """A token to be made."""

    name: str = Field(examples=["ci"])
    role: Role = Field(description="At most one's own.")
    days: int | None = Field(None, description="After which it ends; null for never.")


class TokenDocument(Schema):
    """A token, without its secret. `role` is the most that it may do: never more than its owner."""

    id: int
    owner: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class NewTokenDocument(TokenDocument):
    """A new token with its secret, which is told only now."""

    secret: str


class TokenList(Schema):
    """Tokens, by owner and name."""

    tokens: list[TokenDocument]


class RejectionBody(Input):
    """Why it is rejected; its declarers are shown the reason."""

    reason: str = Field(examples=["the licence is not acceptable"])


class ApprovalsBody(Input):
    """What to decide on, by number. `reason`: needed to reject."""

    action: Literal["approve", "reject"]
    files: list[int] = Field([], max_length=MAX_PAGE_SIZE)
    images: list[int] = Field([], max_length=MAX_PAGE_SIZE)
    reason: str = ""


class DecidedDocument(Schema):
    """What became of one: `problem` is empty if it went well."""

    kind: Literal["file", "image"]
    id: int
    problem: str


class DecidedList(Schema):
    """What became of each."""

    decided: list[DecidedDocument]


def user_document(user: User) -> UserDocument:
    """Write ``user`` as the API shows it."""
    return UserDocument(
        id=user.pk,
        name=user.name,
        role=Role(user.role),
        source=user.source,
        is_active=user.is_active,
        last_login=user.last_login,
        created_at=user.created_at,
    )


def token_document(token: ApiToken) -> TokenDocument:
    """Write ``token`` as the API shows it."""
    return TokenDocument(
        id=token.pk,
        owner=token.owner.name,
        name=token.name,
        role=Role(token.role),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )


def decided_document(decided: Decided) -> DecidedDocument:
    """Write what became of one decision."""
    return DecidedDocument.model_validate({"kind": decided.kind, "id": decided.number, "problem": decided.problem})
