"""Going through everything that is stored, again and again: where a round stands, and who goes it.

One process goes a round at a time; should it die, its lease runs out and another goes on from there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from distfile_mirror.catalog.care_models import Round
from distfile_mirror.catalog.database import available

BLOBS = "blobs"
UPSTREAMS = "upstreams"


@dataclass(slots=True)
class Going:
    """A round that is this owner's. ``looked_at``, ``read_bytes`` and ``found`` since it was begun."""

    name: str
    owner: str
    position: str
    looked_at: int
    read_bytes: int
    found: int


def take(name: str, owner: str, *, lease: timedelta, again_after: timedelta) -> Going | None:
    """Take the round ``name`` to go on with it, or begin a new one if the last was begun ``again_after`` ago.

    Returns None while somebody else goes it, or it is too early for a new one. Raises UnavailableError.
    """
    now = timezone.now()
    with available(), transaction.atomic():
        Round.objects.get_or_create(name=name)
        row = Round.objects.select_for_update().get(name=name)
        if row.owner and row.owner != owner and row.lease_until and row.lease_until > now:
            return None
        if not _is_under_way(row):
            if row.started_at and now - row.started_at < again_after:
                return None
            row.started_at, row.position = now, ""
            row.looked_at = row.read_bytes = row.found = 0
        row.owner, row.lease_until = owner, now + lease
        row.save()
    return Going(name, owner, row.position, row.looked_at, row.read_bytes, row.found)


def keep(going: Going, *, lease: timedelta) -> bool:
    """Write how far ``going`` is; return whether it is still its owner's. Raises UnavailableError."""
    return _write(going, lease_until=timezone.now() + lease)


def finish(going: Going) -> None:
    """Write that the round is over. Raises UnavailableError."""
    _write(going, finished_at=timezone.now(), owner="", lease_until=None)


def leave(going: Going) -> None:
    """Let anybody go on with the round. Raises UnavailableError."""
    _write(going, owner="", lease_until=None)


def start_over(name: str) -> None:
    """Let the next round begin at the beginning, and at once. Raises UnavailableError."""
    with available():
        Round.objects.filter(name=name).update(started_at=None, finished_at=None, position="")


def get_round(name: str) -> Round | None:
    """Return where a round stands. Raises UnavailableError."""
    with available():
        return Round.objects.filter(name=name).first()


def _is_under_way(row: Round) -> bool:
    return row.started_at is not None and (row.finished_at is None or row.finished_at < row.started_at)


def _write(going: Going, **more: datetime | str | None) -> bool:
    with available():
        rows = Round.objects.filter(name=going.name, owner=going.owner)
        return bool(
            rows.update(
                position=going.position,
                looked_at=going.looked_at,
                read_bytes=going.read_bytes,
                found=going.found,
                **more,
            )
        )
