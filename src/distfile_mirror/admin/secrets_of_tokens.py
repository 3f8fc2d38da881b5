"""The secrets of API tokens: 256 random bits, so that a plain hash of them is as good as any."""

import hashlib
import secrets
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from distfile_mirror.admin.models import ApiToken

# Secret scanners and people know it by this.
PREFIX = "dfm_"
SECRET_BYTES = 32
# How exact "last used" is: each use would be a write.
USE_NOTED_EVERY = timedelta(minutes=1)


def new_secret() -> str:
    """Return a secret that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def find(secret: str) -> ApiToken | None:
    """Return the token that has ``secret`` and has not ended."""
    living = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    return ApiToken.objects.select_related("owner").filter(living, secret_hash=hash_of(secret)).first()


def note_use(token: ApiToken) -> None:
    """Note that ``token`` is used now."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
