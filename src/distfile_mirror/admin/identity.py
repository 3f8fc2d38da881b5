"""Who asks: found once for each request, by token, by a trusted header, or by the session."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from distfile_mirror.admin import secrets_of_tokens
from distfile_mirror.admin.middleware import PEER
from distfile_mirror.admin.models import ApiToken, User
from distfile_mirror.admin.people import normalised_name, user_event
from distfile_mirror.admin.problems import is_api
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import HEADER, SignIn, TrustedHeader, is_within
from distfile_mirror.errors import NotAllowedError, NotSignedInError
from distfile_mirror.model.roles import Role, lower_of, role_of_groups

# In META, where the server puts such facts; what a client sends is under HTTP_… there.
_IDENTITY = "distfile_mirror.identity"
SESSION = "session"
BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who was told apart from everybody else.

    ``way``: by what: "", where no sign-in is configured, or session, header, token. ``user``: None only there.
    """

    name: str
    role: Role
    way: str = ""
    user: User | None = None
    token: ApiToken | None = None

    @property
    def actor(self) -> str:
        """How the history names who does it."""
        return f"{self.name} (token {self.token.name})" if self.token else self.name

    def may(self, least: Role) -> bool:
        """Tell whether the role is ``least`` or a higher one."""
        return self.role.includes(least)

    def declared(self, declared_by: str) -> bool:
        """Tell whether a use that was ``declared_by`` somebody is theirs, perhaps by one of their tokens."""
        return declared_by == self.name or declared_by.startswith(f"{self.name} (token ")

    def role_at_most(self, text: str) -> Role:
        """Return the role of this name; ValueError if there is none, or it is more than one's own."""
        if text not in set(Role):
            message = f"{text!r} is no role; there are: {', '.join(Role)}"
            raise ValueError(message)
        if not self.may(Role(text)):
            message = f"your own role is {self.role}; a token cannot have more"
            raise ValueError(message)
        return Role(text)


def identify(request: HttpRequest) -> Identity | None:
    """Find out who asks; None for nobody known.

    Raises:
        NotSignedInError: for a token that is not valid.
        NotAllowedError: for somebody who is known elsewhere, and has no role here.
    """
    if _IDENTITY not in request.META:
        request.META[_IDENTITY] = _identify(request)
    found: Identity | None = request.META[_IDENTITY]
    return found


def identity_of(request: HttpRequest) -> Identity:
    """Return who asks, for views: the rights see to it that there is somebody. Raises NotSignedInError."""
    found = identify(request)
    if found is None:
        raise NotSignedInError
    return found


def actor_of(request: HttpRequest) -> str:
    """Return how the history names who asks. Raises NotSignedInError."""
    return identity_of(request).actor


def may_approve(request: HttpRequest) -> bool:
    """Tell whether what is declared by this request needs nobody's approval: so it is ``approved``."""
    return not current_context().require_approval or identity_of(request).may(Role.APPROVER)


def role_from(user: User | None, groups: set[str], sign_in: SignIn) -> Role:
    """Return the role of somebody who is known elsewhere; ``user`` as stored. Raises NotAllowedError."""
    if user is not None and not sign_in.role_groups:
        return Role(user.role)
    role = role_of_groups(groups, sign_in.role_groups, sign_in.default_role)
    if role is None:
        text = "you are known, and have no role here: ask an administrator to add one of your groups to role_groups"
        raise NotAllowedError(text)
    return role


def _identify(request: HttpRequest) -> Identity | None:
    context = current_context()
    sign_in = context.sign_in
    if not sign_in.methods:
        return Identity(context.local_user, Role.ADMINISTRATOR)
    secret = _bearer(request)
    if secret.startswith(secrets_of_tokens.PREFIX):
        return _by_token(secret, sign_in)
    found = _by_header(request, sign_in.header, sign_in) if HEADER in sign_in.methods and sign_in.header else None
    if found is None and secret:
        text = "this is no API token of this server"
        raise NotSignedInError(text)
    return found or _by_session(request, sign_in)


def _bearer(request: HttpRequest) -> str:
    """Return what stands behind Bearer; only programs send it, and only they are asked for it."""
    given = request.headers.get("Authorization", "")
    takes_tokens = is_api(request) or request.path_info == "/metrics"
    return given[len(BEARER) :].strip() if takes_tokens and given.startswith(BEARER) else ""


def _by_token(secret: str, sign_in: SignIn) -> Identity:
    token = secrets_of_tokens.find(secret)
    if token is None or not token.owner.is_active or token.owner.source not in sign_in.methods:
        text = "the API token is wrong, has ended or was revoked"
        raise NotSignedInError(text)
    secrets_of_tokens.note_use(token)
    role = lower_of(Role(token.role), Role(token.owner.role))
    return Identity(token.owner.name, role, "token", token.owner, token)


def _by_header(request: HttpRequest, header: TrustedHeader, sign_in: SignIn) -> Identity | None:
    given = request.headers.get(header.user, "").strip()
    peer = request.META.get(PEER, request.META.get("REMOTE_ADDR", ""))
    if not given or not is_within(peer, header.networks):
        return None
    try:
        name = normalised_name(given)
    except ValueError as error:
        text = f"the reverse proxy sent {given!r} as name: {error}"
        raise NotAllowedError(text) from None
    groups = {group.strip() for group in request.headers.get(header.groups, "").split(",")} - {""}
    user = renewed(name, groups, HEADER, sign_in)
    return Identity(user.name, Role(user.role), HEADER, user)


def renewed(name: str, groups: set[str], source: str, sign_in: SignIn) -> User:
    """Return the user of ``name`` who comes by ``source``, added if new, with the role of today.

    Raises:
        NotAllowedError: for who has no role, is disabled, or has the name of somebody else.
    """
    user = User.objects.filter(name=name).first()
    if user is not None:
        refuse_stranger(user, source)
    role = role_from(user, groups, sign_in)
    if user is None:
        user = _added(name, role, source)
        refuse_stranger(user, source)  # somebody else may have added the name just now
    renew_role(user, role)
    return user


def _added(name: str, role: Role, source: str) -> User:
    # "!": no password is right.
    with transaction.atomic():
        user, created = User.objects.get_or_create(
            name=name, defaults={"role": role, "source": source, "password": "!"}
        )
        if created:
            user_event(name, "added", user, after={"role": role, "source": source}).save()
    return user


def refuse_stranger(user: User, source: str) -> None:
    """Raise NotAllowedError unless ``user`` may come by ``source``."""
    if user.source != source:
        text = f"the name {user.name} belongs to somebody who signs in by {user.source}"
        raise NotAllowedError(text)
    if not user.is_active:
        text = f"the user {user.name} is disabled"
        raise NotAllowedError(text)


def renew_role(user: User, role: Role) -> None:
    """Store the role of today."""
    if user.role == role:
        return
    before, user.role = {"role": user.role}, role.value
    with transaction.atomic():
        user.save(update_fields=["role"])
        user_event(user.name, "role given", user, before, {"role": user.role, "by": "groups"}).save()


def _by_session(request: HttpRequest, sign_in: SignIn) -> Identity | None:
    user: Any = request.user
    if not user.is_authenticated or user.source not in sign_in.methods:
        return None
    return Identity(user.name, Role(user.role), SESSION, user)
