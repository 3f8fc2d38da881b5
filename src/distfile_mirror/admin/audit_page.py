"""The list of changes."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from distfile_mirror.admin.exports import audit_csv
from distfile_mirror.admin.times import time_of
from distfile_mirror.catalog.audit_log import EventFilters, list_events

KINDS = ("file", "image", "miss", "user", "token")


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Show changes, newest first; filters are in the address."""
    filters, cursor = filters_of(request.GET), request.GET.get("cursor", "")
    shown = {
        "page": list_events(filters, cursor=cursor),
        "filters": filters,
        "filtered": any(request.GET.values()),
        "kinds": KINDS,
        "cursor": cursor,
    }
    return render(request, "mirror/audit.html", shown)


@require_safe
def export(request: HttpRequest) -> HttpResponseBase:
    """Give the changes that the filters let through as CSV."""
    return audit_csv(filters_of(request.GET))


def filters_of(given: Any) -> EventFilters:
    """Read filters from an address. Raises InvalidInputError for a time that is none."""
    return EventFilters(
        q=given.get("q", "").strip(),
        actor=given.get("actor", "").strip(),
        action=given.get("action", "").strip(),
        kind=given.get("kind", "").strip(),
        since=time_of(given, "since"),
        until=time_of(given, "until"),
    )
