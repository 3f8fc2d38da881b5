"""The REST API's operations on the list of changes."""

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router

from distfile_mirror.admin.answers import READING, document_of, refuse_unknown_parameters
from distfile_mirror.admin.audit_documents import (
    EventList,
    EventListQuery,
    EventQuery,
    event_document,
    event_filters,
)
from distfile_mirror.admin.documents import ProblemDocument
from distfile_mirror.admin.exports import audit_csv
from distfile_mirror.catalog.audit_log import list_events

router = Router()


@router.get(
    "/audit",
    response={200: EventList, READING: ProblemDocument},
    summary="List changes, newest first",
    operation_id="list_changes",
)
def list_(request: HttpRequest, query: Query[EventListQuery]) -> EventList:
    """Who changed what, when, from what to what."""
    refuse_unknown_parameters(request, EventListQuery)
    page = list_events(event_filters(query), cursor=query.cursor, limit=query.limit)
    return EventList(events=list(map(event_document, page.items)), next_cursor=page.next_cursor or None)


@router.get(
    "/audit.csv",
    response={200: None, READING: ProblemDocument},
    summary="Export changes as CSV, newest first",
    operation_id="export_changes",
    openapi_extra=document_of("text/csv"),
)
def export(request: HttpRequest, query: Query[EventQuery]) -> HttpResponseBase:
    """All that the conditions let through, a line each."""
    refuse_unknown_parameters(request, EventQuery)
    return audit_csv(event_filters(query))
