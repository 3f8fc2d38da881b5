"""The downloaders' queue: claim rows, keep their leases, record what became of them.

A claim is a lease: a row is its owner's until ``due_at``, which the owner moves on while it works.
Who has lost the lease cannot record anything, so two workers never finish the same row.
Rows are claimed and recorded many in one transaction: the disk is asked to flush once for all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, File
from distfile_mirror.model.checksums import in_order
from distfile_mirror.model.states import State, check_moves


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this worker is to fetch. ``expected``: algorithm -> hex."""

    file_id: int
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

    file_id: int
    sha256: str
    size: int
    digests: Mapping[str, str]
    headers: Mapping[str, str]
    final_uri: str
    decoded_digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work. ``retry_in``: until the next attempt, or None where only a person can help."""

    file_id: int
    message: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Released:
    """It was interrupted, by no fault of the file: any worker may begin anew, after ``retry_in``; ``message`` why."""

    file_id: int
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
        rows = list(_locked_by_nobody(due)[:limit])
        for row in rows:
            _check_claim(State(row.state))
        File.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=State.FETCHING, lease_owner=owner, due_at=now + lease, received_bytes=0, total_bytes=None
        )
    return [Claim(row.pk, row.uri, row.host, row.expected, row.fallback_uris, row.attempts) for row in rows]


def report(owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> None:
    """Write how far downloads are, which also moves their leases on. Raises UnavailableError."""
    until = timezone.now() + lease
    with available(), transaction.atomic():
        for file_id, at in progress.items():
            _owned(owner, [file_id]).update(received_bytes=at.received_bytes, total_bytes=at.total_bytes, due_at=until)


def release_owner(owner: str) -> int:
    """Give back all that a dead ``owner`` had claimed; return how many rows. Raises UnavailableError."""
    with available(), transaction.atomic():
        return File.objects.filter(state=State.FETCHING, lease_owner=owner).update(due_at=timezone.now())


def lease_owners() -> list[str]:
    """Return the owners of all leases. Raises UnavailableError."""
    with available():
        return list(File.objects.exclude(lease_owner="").order_by().values_list("lease_owner", flat=True).distinct())


def next_due() -> datetime | None:
    """Return when the next row is due, or None with an empty queue. Raises UnavailableError."""
    with available():
        return File.objects.filter(due_at__isnull=False).order_by("due_at").values_list("due_at", flat=True).first()


def record(owner: str, outcomes: Iterable[Outcome]) -> None:
    """Record what became of rows claimed by ``owner``; rows whose lease was lost are left alone.

    Raises:
        UnavailableError: and nothing was recorded.
    """
    by_id = {outcome.file_id: outcome for outcome in outcomes}
    with available(), transaction.atomic():
        events = []
        rows = list(_owned(owner, by_id).select_for_update())
        for row in rows:
            events += _apply(row, by_id[row.pk], owner)
            row.lease_owner = ""
        _update_each(rows, _RECORDED_FIELDS)
        AuditEvent.objects.bulk_create(events)


_RECORDED_FIELDS = [
    "state",
    "message",
    "due_at",
    "lease_owner",
    "attempts",
    "received_bytes",
    "total_bytes",
    "sha256",
    "size",
    "digests",
    "headers",
    "final_uri",
    "fetched_at",
]


def _update_each(rows: Sequence[File], names: Collection[str]) -> None:
    """Write the fields ``names`` of ``rows``; bulk_update takes ten times the processor's time for many fields."""
    table = File._meta  # noqa: SLF001 - Django's documented Model _meta API
    fields = [field for field in table.concrete_fields if field.name in names]
    assignments = ", ".join(f"{field.column} = %s" for field in fields)
    update = f"UPDATE {table.db_table} SET {assignments} WHERE id = %s"  # noqa: S608 - made of our own names only
    values = [
        [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields), row.pk] for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(update, values)


def _check_claim(state: State) -> None:
    if state is not State.FETCHING:  # else its lease has run out
        check_moves(state, State.FETCHING)


def _locked_by_nobody(rows: QuerySet[File]) -> QuerySet[File]:
    return rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)


def _owned(owner: str, file_ids: Collection[int]) -> QuerySet[File]:
    return File.objects.filter(pk__in=file_ids, state=State.FETCHING, lease_owner=owner)


def _apply(row: File, outcome: Outcome, owner: str) -> list[AuditEvent]:
    match outcome:
        case Fetched():
            return _apply_fetched(row, outcome, owner)
        case Failed():
            return _apply_failed(row, outcome, owner)
        case Released():
            _back_to_pending(row, outcome.retry_in)
            row.message = outcome.message or row.message
            return []


def _apply_fetched(row: File, outcome: Fetched, owner: str) -> list[AuditEvent]:
    known = {**outcome.decoded_digests, **outcome.digests}
    if not set(row.expected) <= set(known):  # declared again, with more checksums, while it was fetched
        _back_to_pending(row, timedelta(0))
        return []
    wrong = [name for name, digest in row.expected.items() if not _matches(name, digest, outcome)]
    if wrong:
        names = ", ".join(f"{name}:{row.expected[name]}" for name in wrong)
        return _apply_failed(row, Failed(row.pk, f"what came is not what was declared meanwhile: {names}", None), owner)
    row.state = check_moves(State(row.state), State.PRESENT)
    row.message = ""
    row.due_at = None
    row.sha256 = outcome.sha256
    row.size = row.received_bytes = row.total_bytes = outcome.size
    row.digests = in_order(outcome.digests)
    row.headers = dict(outcome.headers)
    row.final_uri = outcome.final_uri
    row.fetched_at = timezone.now()
    after = {"state": row.state, "sha256": row.sha256, "size": row.size, "final_uri": row.final_uri}
    return [audit.file_event(owner, "fetched", row, {"state": State.FETCHING}, after)]


def _matches(algorithm: str, digest: str, outcome: Fetched) -> bool:
    return digest in {outcome.digests.get(algorithm), outcome.decoded_digests.get(algorithm)}


def _apply_failed(row: File, outcome: Failed, owner: str) -> list[AuditEvent]:
    row.attempts += 1
    if outcome.retry_in is None:
        row.state = check_moves(State(row.state), State.FAILED)
        row.due_at = None
    else:
        _back_to_pending(row, outcome.retry_in)
    row.message = outcome.message
    after = {"state": row.state, "message": row.message}
    return [audit.file_event(owner, "failed", row, {"state": State.FETCHING}, after)]


def _back_to_pending(row: File, wait: timedelta) -> None:
    row.state = check_moves(State(row.state), State.FAILED, State.PENDING)
    row.due_at = timezone.now() + wait
