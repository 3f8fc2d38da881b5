"""What went wrong, in the two forms in which the admin says it: told apart here once for API and pages.

To a program it is a problem document (RFC 9457, ``application/problem+json``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse

from distfile_mirror.errors import (
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    TransientFetchError,
    UnavailableError,
)

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="Distfile Mirror"'},
}

DatabaseAwayError = (OperationalError, InterfaceError)
# An exception, the status that it means, and what is said of it (its own message by default).
_MEANINGS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], HTTPStatus, str], ...] = (
    (InvalidInputError, HTTPStatus.UNPROCESSABLE_ENTITY, ""),
    (ConflictError, HTTPStatus.CONFLICT, ""),
    (NotFoundError, HTTPStatus.NOT_FOUND, ""),
    (NotSignedInError, HTTPStatus.UNAUTHORIZED, ""),
    (NotAllowedError, HTTPStatus.FORBIDDEN, ""),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, ""),
    (TransientFetchError, HTTPStatus.BAD_GATEWAY, ""),
    (DatabaseAwayError, HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer now; try again in a moment"),
    (Http404, HTTPStatus.NOT_FOUND, "there is nothing at this address"),
    (RequestDataTooBig, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large"),
    (SuspiciousOperation, HTTPStatus.BAD_REQUEST, "the request cannot be understood"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal. ``errors`` maps the name of each wrong field to what is wrong with it; ``further`` is for programs."""

    status: HTTPStatus
    detail: str
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, object] = field(default_factory=dict)


def explain(error: Exception) -> Problem | None:
    """Return what ``error`` means to whoever asked, or None for a fault of our own."""
    if isinstance(error, DatabaseAwayError):
        connection.close()  # what is broken must not serve the next request
    for kind, status, detail in _MEANINGS:
        if isinstance(error, kind):
            fields = error.problems if isinstance(error, InvalidInputError) else {}
            return Problem(status, detail or str(error), fields, _HEADERS.get(status, {}))
    return None


def problem_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Write ``problem`` as RFC 9457 has it; ``errors`` is a list of {field, message}."""
    document = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        "instance": request.path,
        "errors": [
            {"field": name, "message": message} for name, messages in problem.errors.items() for message in messages
        ],
        **problem.further,
    }
    return HttpResponse(
        json.dumps(document).encode(),
        status=problem.status.value,
        content_type=PROBLEM_TYPE,
        headers=dict(problem.headers),
    )


def is_api(request: HttpRequest) -> bool:
    """Tell whether a program asks: it gets problem documents, people get pages."""
    return request.path_info.startswith("/api/")
