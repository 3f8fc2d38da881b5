"""What is done to users: added, given a role, disabled, let in again. Each change is an audit event.

There is always an administrator left.
"""

import re
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction

from distfile_mirror.admin.models import MAX_NAME_CHARACTERS, ApiToken, User
from distfile_mirror.admin.passwords import check_new_password
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import ACCOUNTS
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import ConflictError, InvalidInputError, NotFoundError
from distfile_mirror.model.roles import Role

# No blanks and brackets: a name stands before "(token …)" in the history.
_NAME = re.compile(r"[\w.@+-]+")


def normalised_name(text: str) -> str:
    """Return a user's name as it is stored. Raises ValueError."""
    name = text.strip().lower()
    if not name:
        message = "name the user"
        raise ValueError(message)
    if len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        message = f"a name has letters, digits and . @ + - _ only, at most {MAX_NAME_CHARACTERS}"
        raise ValueError(message)
    return name


def add_user(name: str, *, role: str, password: str, actor: str) -> User:
    """Add somebody who signs in with a password. Raises InvalidInputError, naming each wrong field."""
    problems = Problems()
    wanted = problems.collect("name", normalised_name, name)
    given = problems.collect("role", _role, role)
    try:
        check_new_password(password, User(name=wanted or ""))
    except InvalidInputError as error:
        for message in error.problems["password"]:
            problems.add("password", message)
    if wanted and User.objects.filter(name=wanted).exists():
        problems.add("name", f"there is a user {wanted} already")
    problems.raise_if_any()
    with transaction.atomic():
        user = User.objects.create(name=wanted or "", role=given or Role.VIEWER, password=make_password(password))
        user_event(actor, "added", user, after={"role": user.role}).save()
    return user


def set_role(user_id: int, role: str, *, actor: str) -> User:
    """Give a role.

    Raises:
        NotFoundError, InvalidInputError.
        ConflictError: if it would take the last administrator away, or roles follow groups.
    """
    problems = Problems()
    given = problems.collect("role", _role, role)
    problems.raise_if_any()
    with transaction.atomic():
        user = _locked(user_id)
        if user.role == given:
            return user
        if roles_follow_groups(user):
            message = f"the role of {user.name} follows their groups (role_groups in the configuration)"
            raise ConflictError(message)
        before = {"role": user.role}
        if given is not Role.ADMINISTRATOR:
            _refuse_last_administrator(user)
        user.role = given or Role.VIEWER
        user.save(update_fields=["role"])
        user_event(actor, "role given", user, before, {"role": user.role}).save()
    return user


def set_active(user_id: int, *, is_active: bool, actor: str) -> User:
    """Disable a user, whose sessions and tokens end with that, or enable one again. Raises as set_role."""
    with transaction.atomic():
        user = _locked(user_id)
        if user.is_active == is_active:
            return user
        if not is_active:
            _refuse_last_administrator(user)
        user.is_active = is_active
        user.save(update_fields=["is_active"])
        user_event(actor, "enabled" if is_active else "disabled", user).save()
    return user


def set_password(user_id: int, password: str, *, actor: str) -> User:
    """Set a password, which ends the sessions of the user.

    Raises:
        NotFoundError, InvalidInputError.
        ConflictError: for somebody who signs in elsewhere.
    """
    with transaction.atomic():
        user = _locked(user_id)
        if user.source != ACCOUNTS:
            message = f"{user.name} has no password here: they sign in by {user.source}"
            raise ConflictError(message)
        check_new_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        user_event(actor, "password set", user).save()
    return user


def get_user(user_id: int) -> User:
    """Return a user. Raises NotFoundError, UnavailableError."""
    with available():
        return _found(User.objects.filter(pk=user_id).first(), str(user_id))


def find_user(name: str) -> User:
    """Return the user of this name. Raises NotFoundError, UnavailableError."""
    with available():
        return _found(User.objects.filter(name=name.strip().lower()).first(), name)


def list_users() -> list[User]:
    """Return all users by name. Raises UnavailableError."""
    with available():
        return list(User.objects.order_by("name"))


def administrators() -> list[str]:
    """Return the names of those who may give roles. Raises UnavailableError."""
    with available():
        found = User.objects.filter(role=Role.ADMINISTRATOR, is_active=True).order_by("name")
        return list(found.values_list("name", flat=True))


def roles_follow_groups(user: User) -> bool:
    """Tell whether the role of ``user`` is renewed from their groups whenever they come."""
    return user.source != ACCOUNTS and bool(current_context().sign_in.role_groups)


def user_event(
    actor: str,
    action: str,
    user: User,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEvent:
    """Make (not save) the event of a change to ``user``."""
    facts = {"subject_kind": "user", "subject_id": user.pk, "subject": user.name}
    return AuditEvent(actor=actor, action=action, **facts, before=before or {}, after=after or {})


def token_event(actor: str, action: str, token: ApiToken, after: dict[str, Any] | None = None) -> AuditEvent:
    """Make (not save) the event of a change to ``token``."""
    facts = {"subject_kind": "token", "subject_id": token.pk, "subject": str(token)}
    return AuditEvent(actor=actor, action=action, **facts, after=after or {})


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        message = f"{text!r} is no role; there are: {', '.join(Role)}"
        raise ValueError(message) from None


def _locked(user_id: int) -> User:
    return _found(User.objects.select_for_update().filter(pk=user_id).first(), str(user_id))


def _found(user: User | None, named: str) -> User:
    if user is None:
        message = f"there is no user {named}"
        raise NotFoundError(message)
    return user


def _refuse_last_administrator(user: User) -> None:
    others = User.objects.filter(role=Role.ADMINISTRATOR, is_active=True).exclude(pk=user.pk)
    if user.role == Role.ADMINISTRATOR and user.is_active and not others.exists():
        message = f"{user.name} is the last administrator: make somebody else one first"
        raise ConflictError(message)
