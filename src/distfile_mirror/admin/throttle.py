"""Slows down who guesses passwords: so many wrong ones for an account, or from an address, and it is over for a while.

Attempts are counted before they are judged, so that many at once gain nothing; and alike for accounts that
are there and those that are not, so that nobody learns which are.
"""

from datetime import timedelta
from math import ceil

from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from distfile_mirror.admin.models import PasswordAttempt, User
from distfile_mirror.errors import MirrorError

WINDOW = timedelta(minutes=15)
ATTEMPTS_FOR_ACCOUNT = 10
ATTEMPTS_FROM_ADDRESS = 50
MAX_ACCOUNT_CHARACTERS = 150


class TooManyAttemptsError(MirrorError):
    """Too many wrong passwords (HTTP 429; try again in ``retry_after`` seconds)."""

    def __init__(self, retry_after: int) -> None:
        minutes = ceil(retry_after / 60)
        super().__init__(
            f"there were too many wrong passwords for this name or from this address; try again in {minutes} "
            f"minute{'s' if minutes > 1 else ''}"
        )
        self.retry_after = retry_after


def user_with_password(name: str, password: str, address: str) -> User | None:
    """Return the user whose name and password these are, or None; ``address``: from where they came.

    Raises:
        TooManyAttemptsError: whatever the password.
    """
    account = name.replace("\0", "").strip().lower()[:MAX_ACCOUNT_CHARACTERS]
    _count(account, address)
    user = authenticate(username=account, password=password)
    if not isinstance(user, User):
        return None
    PasswordAttempt.objects.filter(account=account).delete()
    return user


def _count(account: str, address: str) -> None:
    now = timezone.now()
    with transaction.atomic():
        PasswordAttempt.objects.filter(at__lt=now - WINDOW).delete()
        wait = max(_wait(Q(account=account), ATTEMPTS_FOR_ACCOUNT), _wait(Q(address=address), ATTEMPTS_FROM_ADDRESS))
        if not wait:
            PasswordAttempt.objects.create(at=now, account=account, address=address)
    if wait:
        raise TooManyAttemptsError(wait)


def _wait(of: Q, most: int) -> int:
    """Return for how many seconds nothing more is tried; 0 if it is."""
    latest = PasswordAttempt.objects.filter(of).order_by("-at").values_list("at", flat=True)[most - 1 : most]
    if not latest:
        return 0
    return max(ceil((latest[0] + WINDOW - timezone.now()).total_seconds()), 1)
