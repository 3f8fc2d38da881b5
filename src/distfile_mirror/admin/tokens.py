"""API tokens: secrets with which programs act for their owner.

A secret is shown once. What it may do is the lower of the token's own role and its owner's at that moment.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from distfile_mirror.admin.identity import Identity
from distfile_mirror.admin.models import ApiToken, User
from distfile_mirror.admin.people import token_event
from distfile_mirror.admin.secrets_of_tokens import hash_of, new_secret
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.moderate import required_text
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import ConflictError, NotFoundError
from distfile_mirror.model.roles import Role

MAX_NAME_CHARACTERS = 100
MAX_DAYS = 3650


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its ``secret``, which nobody can tell again."""

    token: ApiToken
    secret: str


def create_token(identity: Identity, *, name: str, role: str, days: int | None) -> NewToken:
    """Make a token for who asks; it ends after ``days``, or never.

    A token that is made with a token ends no later than that.

    Raises:
        InvalidInputError: naming each wrong field.
        ConflictError: without a sign-in, where nobody would own it.
    """
    if identity.user is None:
        message = "without a sign-in there are no tokens: whoever comes may do all"
        raise ConflictError(message)
    problems = Problems()
    text = problems.collect("name", _token_name, name)
    given = problems.collect("role", identity.role_at_most, role)
    if days is not None and not 0 < days <= MAX_DAYS:
        problems.add("days", f"between 1 and {MAX_DAYS} days are possible")
    if text and ApiToken.objects.filter(owner=identity.user, name=text).exists():
        problems.add("name", f"you have a token {text} already")
    problems.raise_if_any()
    secret = new_secret()
    with transaction.atomic():
        token = ApiToken.objects.create(
            owner=identity.user,
            name=text or "",
            role=given or Role.VIEWER,
            secret_hash=hash_of(secret),
            expires_at=_end(identity, days),
        )
        ends = {"expires_at": token.expires_at.isoformat() if token.expires_at else None}
        token_event(identity.actor, "token created", token, {"role": token.role, **ends}).save()
    return NewToken(token, secret)


def revoke_token(identity: Identity, token_id: int) -> ApiToken:
    """End a token of who asks, or anybody's for an administrator. Raises NotFoundError."""
    with transaction.atomic():
        token = _visible(identity).select_for_update(of=("self",)).filter(pk=token_id).first()
        if token is None:
            message = f"there is no token {token_id}, or it is somebody else's"
            raise NotFoundError(message)
        token_event(identity.actor, "token revoked", token).save()
        ApiToken.objects.filter(pk=token_id).delete()
    return token


def list_tokens(identity: Identity) -> list[ApiToken]:
    """Return the tokens of who asks; for an administrator everybody's. Raises UnavailableError."""
    with available():
        return list(_visible(identity).order_by("owner__name", "name"))


def own_tokens(user: User) -> list[ApiToken]:
    """Return the tokens of ``user``. Raises UnavailableError."""
    with available():
        return list(ApiToken.objects.select_related("owner").filter(owner=user).order_by("name"))


def _visible(identity: Identity) -> QuerySet[ApiToken]:
    tokens = ApiToken.objects.select_related("owner")
    return tokens if identity.may(Role.ADMINISTRATOR) else tokens.filter(owner=identity.user)


def _token_name(text: str) -> str:
    name = required_text(text, MAX_NAME_CHARACTERS, "name it after what uses it")
    if not name.isprintable():
        message = "a name is one line of printable characters"
        raise ValueError(message)
    return name


def _end(identity: Identity, days: int | None) -> datetime | None:
    own = identity.token.expires_at if identity.token else None
    wanted = timezone.now() + timedelta(days=days) if days is not None else None
    ends = [each for each in (own, wanted) if each is not None]
    return min(ends, default=None)
