"""The downloaders' queue: claim rows, keep their leases, record what became of them.

A claim is a lease: a row is its owner's until ``due_at``, which the owner moves on while it works.
Who has lost the lease cannot record anything, so two workers never finish the same row.
Rows are claimed and recorded many in one transaction: the disk is asked to flush once for all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.bulk import insert_rows, update_rows
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, File
from distfile_mirror.model.checksums import in_order
from distfile_mirror.model.states import State, check_moves


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this worker is to fetch. ``expected``: algorithm -> hex."""

    row_id: int
    uri: str
    host: str
    expected: Mapping[str, str]
    fallback_uris: Sequence[str]
    attempts: int


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


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work. ``retry_in``: until the next attempt, or None where only a person can help."""

    row_id: int
    message: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Released:
    """It was interrupted, by no fault of the file: any worker may begin anew, after ``retry_in``; ``message`` why."""

    row_id: int
    message: str = ""
    retry_in: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is, in bytes; ``total_bytes`` None where upstream does not say."""

    received_bytes: int
    total_bytes: int | None


Outcome = Fetched | Failed | Released


def claim(owner: str, *, limit: int, lease: timedelta, excluded_hosts: Collection[str] = ()) -> list[Claim]:
    """Claim up to ``limit`` rows that are due, longest due first, for ``owner``. Raises UnavailableError."""
    now = timezone.now()
    with available(), transaction.atomic():
        due = File.objects.filter(due_at__lte=now).exclude(host__in=excluded_hosts).order_by("due_at")
        columns = ("pk", "uri", "host", "expected", "fallback_uris", "attempts", "state")
        rows = list(_locked_by_nobody(due).values_list(*columns)[:limit])
        for *_facts, state in rows:
            _check_claim(State(state))
        File.objects.filter(pk__in=[row[0] for row in rows]).update(
            state=State.FETCHING, lease_owner=owner, due_at=now + lease, received_bytes=0, total_bytes=None
        )
    return [Claim(*facts) for *facts, _state in rows]


def report(owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> None:
    """Write how far downloads are, which also moves their leases on. Raises UnavailableError."""
    until = timezone.now() + lease
    with available(), transaction.atomic():
        for row_id, at in progress.items():
            _owned(owner, [row_id]).update(received_bytes=at.received_bytes, total_bytes=at.total_bytes, due_at=until)


def release_owner(owner: str) -> int:
    """Give back all that a dead ``owner`` had claimed; return how many rows. Raises UnavailableError."""
    with available(), transaction.atomic():
        return File.objects.filter(state=State.FETCHING, lease_owner=owner).update(due_at=timezone.now())


def record(owner: str, outcomes: Iterable[Outcome]) -> None:
    """Record what became of rows claimed by ``owner``; rows whose lease was lost are left alone.

    Raises:
        UnavailableError: and nothing was recorded.
    """
    by_id = {outcome.row_id: outcome for outcome in outcomes}
    with available(), transaction.atomic():
        rows = _owned(owner, by_id).select_for_update().values_list("pk", "uri", "state", "expected", "attempts")
        applied = [_apply(_Row(*row), by_id[row[0]]) for row in rows]
        update_rows(File, [(row.row_id, {**changes, "lease_owner": ""}) for row, changes, _event in applied])
        insert_rows(AuditEvent, [_event_row(owner, row, *event) for row, _changes, event in applied if event])


@dataclass(frozen=True, slots=True)
class _Row:
    """What must be known of a row to record its outcome."""

    row_id: int
    uri: str
    state: str
    expected: Mapping[str, str]
    attempts: int


_Changes = dict[str, Any]
# The action, and what the audit event says of the state after it.
_Event = tuple[str, _Changes]


def _event_row(owner: str, row: _Row, action: str, after: _Changes) -> _Changes:
    return {
        "at": timezone.now(),
        "actor": owner,
        "action": action,
        "subject_kind": audit.FILE,
        "subject_id": row.row_id,
        "subject": row.uri,
        "before": {"state": row.state},
        "after": after,
    }


def _check_claim(state: State) -> None:
    if state is not State.FETCHING:  # else its lease has run out
        check_moves(state, State.FETCHING)


def _locked_by_nobody(rows: QuerySet[File]) -> QuerySet[File]:
    return rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)


def _owned(owner: str, row_ids: Collection[int]) -> QuerySet[File]:
    return File.objects.filter(pk__in=row_ids, state=State.FETCHING, lease_owner=owner)


def _apply(row: _Row, outcome: Outcome) -> tuple[_Row, _Changes, _Event | None]:
    match outcome:
        case Fetched():
            return row, *_apply_fetched(row, outcome)
        case Failed():
            return row, *_apply_failed(row, outcome)
        case Released():
            changes = _back_to_pending(row, outcome.retry_in)
            return row, changes | ({"message": outcome.message} if outcome.message else {}), None


def _apply_fetched(row: _Row, outcome: Fetched) -> tuple[_Changes, _Event | None]:
    known = {**outcome.decoded_digests, **outcome.digests}
    if not set(row.expected) <= set(known):  # declared again, with more checksums, while it was fetched
        return _back_to_pending(row, timedelta(0)), None
    wrong = [name for name, digest in row.expected.items() if not _matches(name, digest, outcome)]
    if wrong:
        names = ", ".join(f"{name}:{row.expected[name]}" for name in wrong)
        message = f"what came is not what was declared meanwhile: {names}"
        return _apply_failed(row, Failed(row.row_id, message, None))
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


def _apply_failed(row: _Row, outcome: Failed) -> tuple[_Changes, _Event]:
    if outcome.retry_in is None:
        moved: _Changes = {"state": check_moves(State(row.state), State.FAILED).value, "due_at": None}
    else:
        moved = _back_to_pending(row, outcome.retry_in)
    changes = {**moved, "message": outcome.message, "attempts": row.attempts + 1}
    return changes, ("failed", {"state": moved["state"], "message": outcome.message})


def _back_to_pending(row: _Row, wait: timedelta) -> _Changes:
    state = check_moves(State(row.state), State.FAILED, State.PENDING)
    return {"state": state.value, "due_at": timezone.now() + wait}
