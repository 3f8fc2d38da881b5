"""The shapes of the REST API for the list of changes."""

from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.documents import Moment, PageQuery
from distfile_mirror.admin.times import time_of
from distfile_mirror.catalog.audit_log import EventFilters
from distfile_mirror.catalog.models import AuditEvent


class EventQuery(Schema):
    """Which changes; every condition must hold."""

    q: str = Field("", description="Part of the name of what was changed.")
    actor: str = Field("", description="Changed by exactly this one.")
    action: str = Field("", description="Exactly this action.", examples=["declared"])
    kind: str = Field("", description="Of what was changed: file, image, miss, user, token.")
    since: Moment = Field("", description="At this time or later.")
    until: Moment = Field("", description="Before this time.")


class EventListQuery(EventQuery, PageQuery):
    """Which changes, and which page of them."""


class EventDocument(Schema):
    """One change: who, when, what, from what to what."""

    id: int
    at: datetime
    actor: str
    action: str
    kind: str = Field(description="Of what was changed.")
    subject_id: int
    subject: str = Field(description="Its name at that time.")
    before: dict[str, Any]
    after: dict[str, Any]


class EventList(Schema):
    """A page of changes, newest first."""

    events: list[EventDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


def event_filters(query: EventQuery) -> EventFilters:
    """Return what the catalog is asked for. Raises InvalidInputError for a time that is none."""
    given = query.model_dump(include=set(EventQuery.model_fields))
    times = {name: time_of(given, name) for name in ("since", "until")}
    return EventFilters(**given | times)


def event_document(event: AuditEvent) -> EventDocument:
    """Write ``event`` as the API shows it."""
    return EventDocument(
        id=event.pk,
        at=event.at,
        actor=event.actor,
        action=event.action,
        kind=event.subject_kind,
        subject_id=event.subject_id,
        subject=event.subject,
        before=event.before,
        after=event.after,
    )
