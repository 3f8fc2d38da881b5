"""What the queues of files and of images have in common: leases, and the outcomes that are alike for both.

A claim is a lease: a row is its owner's until ``due_at``, which the owner moves on while it works.
Who has lost the lease cannot record anything, so two workers never finish the same row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.bulk import insert_rows, update_rows
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, File, Image
from distfile_mirror.model.states import State, check_moves

Artifact = TypeVar("Artifact", File, Image)
Changes = dict[str, Any]
# The action, and what the audit event says of the state after it.
Event = tuple[str, Changes]


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work. ``retry_in``: until the next attempt, or None where only a person can help."""

    row_id: int
    message: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Released:
    """It was interrupted, by no fault of its own: any worker may begin anew, after ``retry_in``; ``message`` why."""

    row_id: int
    message: str = ""
    retry_in: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is, in bytes; ``total_bytes`` None where upstream does not say."""

    received_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """What must be known of a row, whatever its kind, to record its outcome. ``name`` is for people."""

    row_id: int
    name: str
    state: str
    attempts: int


Applied = tuple[Row, Changes, Event | None]


def claim_rows(
    rows: QuerySet[Artifact],
    owner: str,
    *,
    limit: int,
    lease: timedelta,
    columns: Sequence[str],
    take_over: bool,
    **reset: Any,
) -> list[tuple[Any, ...]]:
    """Claim up to ``limit`` of ``rows`` that are due, longest due first; return their primary keys and ``columns``.

    ``take_over``: also those whose owner's lease has run out. ``reset`` is written to them as well.
    To be called in a transaction.
    """
    now = timezone.now()
    if not take_over:
        rows = rows.filter(state=State.PENDING)
    due = _locked_by_nobody(rows.filter(due_at__lte=now).order_by("due_at"))
    found = list(due.values_list("state", "pk", *columns)[:limit])
    for state, *_facts in found:
        _check_claim(State(state))
    rows.model.objects.filter(pk__in=[row[1] for row in found]).update(
        state=State.FETCHING, lease_owner=owner, due_at=now + lease, received_bytes=0, total_bytes=None, **reset
    )
    return [tuple(facts) for _state, *facts in found]


def report(kind: type[Artifact], owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> set[int]:
    """Write how far downloads are, which also moves their leases on; return the rows whose lease ``owner`` has lost.

    Raises UnavailableError.
    """
    until = timezone.now() + lease
    lost = set()
    with available(), transaction.atomic():
        for row_id, at in progress.items():
            rows = owned(kind, owner, [row_id])
            if not rows.update(received_bytes=at.received_bytes, total_bytes=at.total_bytes, due_at=until):
                lost.add(row_id)
    return lost


def release_owner(kind: type[Artifact], owner: str) -> int:
    """Give back all that a dead ``owner`` had claimed; return how many rows. Raises UnavailableError."""
    with available(), transaction.atomic():
        rows = kind.objects.filter(state=State.FETCHING, lease_owner=owner)
        return rows.update(due_at=timezone.now())


def owned(kind: type[Artifact], owner: str, row_ids: Collection[int]) -> QuerySet[Artifact]:
    """Return those of the rows whose lease ``owner`` has."""
    return kind.objects.filter(pk__in=row_ids, state=State.FETCHING, lease_owner=owner)


def write(kind: type[Artifact], owner: str, applied: Iterable[Applied]) -> None:
    """Write what outcomes change, and their events; the leases end. To be called in a transaction."""
    applied = list(applied)
    update_rows(kind, [(row.row_id, {**changes, "lease_owner": ""}) for row, changes, _event in applied])
    insert_rows(AuditEvent, [_event_row(kind, owner, row, *event) for row, _changes, event in applied if event])


def apply_unfetched(row: Row, outcome: Failed | Released) -> tuple[Changes, Event | None]:
    """Return what an outcome without bytes changes."""
    if isinstance(outcome, Released):
        changes = back_to_pending(row, outcome.retry_in)
        return changes | ({"message": outcome.message} if outcome.message else {}), None
    return apply_failed(row, outcome)


def apply_failed(row: Row, outcome: Failed) -> tuple[Changes, Event]:
    """Return what a failure changes."""
    if outcome.retry_in is None:
        moved: Changes = {"state": check_moves(State(row.state), State.FAILED).value, "due_at": None}
    else:
        moved = back_to_pending(row, outcome.retry_in)
    changes = {**moved, "message": outcome.message, "attempts": row.attempts + 1}
    return changes, ("failed", {"state": moved["state"], "message": outcome.message})


def back_to_pending(row: Row, wait: timedelta) -> Changes:
    """Return what makes a claimed row due again, after ``wait``."""
    state = check_moves(State(row.state), State.FAILED, State.PENDING)
    return {"state": state.value, "due_at": timezone.now() + wait}


def _event_row(kind: type[Artifact], owner: str, row: Row, action: str, after: Changes) -> Changes:
    return {
        "at": timezone.now(),
        "actor": owner,
        "action": action,
        "subject_kind": audit.kind_name(kind),
        "subject_id": row.row_id,
        "subject": row.name,
        "before": {"state": row.state},
        "after": after,
    }


def _check_claim(state: State) -> None:
    if state is not State.FETCHING:  # else its lease has run out
        check_moves(state, State.FETCHING)


def _locked_by_nobody(rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
    return rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
