"""The downloaders' queue of files: claim rows, keep their leases, record what became of them.

Rows are claimed and recorded many in one transaction: the disk is asked to flush once for all.
``leases`` says what holds for images as well.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from distfile_mirror.catalog import leases
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.growth import add_growth
from distfile_mirror.catalog.leases import Applied, Changes, Event, Failed, Progress, Released, Row
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.request_models import last_requests
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.catalog.sightings import settle
from distfile_mirror.model.checksums import in_order
from distfile_mirror.model.states import State, check_moves

__all__ = [
    "Claim",
    "Failed",
    "Fetched",
    "Outcome",
    "Progress",
    "Released",
    "blobs_of",
    "claim",
    "from_note",
    "record",
    "release_owner",
    "report",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this worker is to fetch. ``expected``: algorithm -> hex; ``request_id``: who asked for it last."""

    row_id: int
    uri: str
    host: str
    expected: Mapping[str, str]
    fallback_uris: Sequence[str]
    attempts: int
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes are in the blob store. ``digests``: algorithm -> hex of them; ``headers`` to be replayed.

    ``decoded_digests`` are those of the bytes without their Content-Encoding, if they had one.
    """

    row_id: int
    sha256: str
    size: int
    digests: Mapping[str, str]
    headers: Mapping[str, str]
    final_uri: str
    decoded_digests: Mapping[str, str] = field(default_factory=dict)


Outcome = Fetched | Failed | Released


def claim(
    owner: str,
    *,
    limit: int,
    lease: timedelta,
    excluded_hosts: Collection[str] = (),
    take_over: bool = True,
) -> list[Claim]:
    """Claim up to ``limit`` rows that are due, longest due first, for ``owner``; see claim_rows.

    Raises:
        UnavailableError: if the database does not answer.
    """
    columns = ("uri", "host", "expected", "fallback_uris", "attempts")
    with available(), transaction.atomic():
        rows = File.objects.exclude(host__in=excluded_hosts)
        claimed = leases.claim_rows(rows, owner, limit=limit, lease=lease, columns=columns, take_over=take_over)
        requests = last_requests(ArtifactKind.FILE.value, [facts[0] for facts in claimed])
    return [Claim(*(*facts, requests.get(facts[0], ""))) for facts in claimed]


def report(owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> set[int]:
    """See leases.report. Raises UnavailableError."""
    return leases.report(File, owner, progress, lease=lease)


def release_owner(owner: str) -> int:
    """Give back all that a dead ``owner`` had claimed; return how many rows. Raises UnavailableError."""
    return leases.release_owner(File, owner)


def record(owner: str, outcomes: Iterable[Outcome]) -> None:
    """Record what became of rows claimed by ``owner``; rows whose lease was lost are left alone.

    Raises:
        UnavailableError: and nothing was recorded.
    """
    by_id = {outcome.row_id: outcome for outcome in outcomes}
    columns = ("pk", "uri", "state", "attempts", "expected")
    with available(), transaction.atomic():
        rows = leases.owned(File, owner, by_id).select_for_update().values_list(*columns)
        applied = [_apply(Row(*facts), expected, by_id[facts[0]]) for *facts, expected in rows]
        leases.write(File, owner, applied)
        _count(applied)


def from_note(note: Mapping[str, Any]) -> Fetched:
    """Return what has been noted as the fields of a Fetched. Raises TypeError: if they are not its."""
    return Fetched(**note)


def blobs_of(fetched: Fetched) -> list[str]:
    """Return the sha256 of the blob that must be stored."""
    return [fetched.sha256]


def _count(applied: Iterable[Applied]) -> None:
    present = [(row.name, changes["size"]) for row, changes, _event in applied if changes["state"] == State.PRESENT]
    settle(ArtifactKind.FILE, [uri for uri, _size in present])
    add_growth(files=len(present), stored_bytes=sum(size for _uri, size in present))


def _apply(row: Row, expected: Mapping[str, str], outcome: Outcome) -> Applied:
    if isinstance(outcome, Fetched):
        return row, *_apply_fetched(row, expected, outcome)
    return row, *leases.apply_unfetched(row, outcome)


def _apply_fetched(row: Row, expected: Mapping[str, str], outcome: Fetched) -> tuple[Changes, Event | None]:
    known = {**outcome.decoded_digests, **outcome.digests}
    if not set(expected) <= set(known):  # declared again, with more checksums, while it was fetched
        return leases.back_to_pending(row, timedelta(0)), None
    wrong = [name for name, digest in expected.items() if not _matches(name, digest, outcome)]
    if wrong:
        names = ", ".join(f"{name}:{expected[name]}" for name in wrong)
        message = f"what came is not what was declared meanwhile: {names}"
        return leases.apply_failed(row, Failed(row.row_id, message, None))
    told = {
        "state": check_moves(State(row.state), State.PRESENT).value,
        "sha256": outcome.sha256,
        "size": outcome.size,
        "final_uri": outcome.final_uri,
    }
    changes = {
        **told,
        "message": "",
        "due_at": None,
        "received_bytes": outcome.size,
        "total_bytes": outcome.size,
        "digests": in_order(outcome.digests),
        "headers": dict(outcome.headers),
        "fetched_at": timezone.now(),
    }
    return changes, ("fetched", told)


def _matches(algorithm: str, digest: str, outcome: Fetched) -> bool:
    return digest in {outcome.digests.get(algorithm), outcome.decoded_digests.get(algorithm)}
