"""The list of changes, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, paged

ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class EventFilters:
    """Which changes; empty means all. ``q``: a part of the subject's name; the rest are whole values."""

    q: str = ""
    actor: str = ""
    action: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None


def list_events(filters: EventFilters, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page[AuditEvent]:
    """Return a page of changes. Raises InvalidInputError, UnavailableError."""
    return paged(_filtered(filters), cursor=cursor, limit=limit)


def all_events(filters: EventFilters) -> Iterator[AuditEvent]:
    """Yield all changes, newest first, without holding them all. Raises UnavailableError."""
    with available():
        yield from _filtered(filters).order_by("-pk").iterator(chunk_size=ROWS_AT_ONCE)


def _filtered(filters: EventFilters) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.all()
    if filters.actor:
        rows = rows.filter(actor=filters.actor)
    if filters.action:
        rows = rows.filter(action=filters.action)
    if filters.kind:
        rows = rows.filter(subject_kind=filters.kind)
    if filters.q:
        rows = rows.filter(subject__icontains=filters.q)
    if filters.since:
        rows = rows.filter(at__gte=filters.since)
    if filters.until:
        rows = rows.filter(at__lt=filters.until)
    return rows
