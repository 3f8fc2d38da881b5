"""Refusals and faults as pages, in the style of the others and without a traceback."""

from http import HTTPStatus

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from distfile_mirror.admin.problems import Problem, explain, is_api, problem_response

OUR_FAULT = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the server, and its log says more; nothing was changed"
)

_log = structlog.get_logger(__name__)


def error_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Answer with ``problem``: a document for programs, a page for people."""
    if is_api(request):
        return problem_response(request, problem)
    response = render(request, "mirror/error.html", {"problem": problem}, status=problem.status.value)
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def log_fault(request: HttpRequest, error: Exception) -> None:
    """Write down a fault of our own, with all that is known of it."""
    _log.error("request failed", method=request.method, path=request.path, exc_info=error)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 (or 413) for Django."""
    return error_response(request, explain(exception) or Problem(HTTPStatus.BAD_REQUEST, "the request is malformed"))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Answer 403 for Django."""
    return error_response(request, Problem(HTTPStatus.FORBIDDEN, "this is not allowed"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Answer 404 for Django."""
    return error_response(request, Problem(HTTPStatus.NOT_FOUND, "there is nothing at this address"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 for Django, which has logged the exception."""
    return error_response(request, OUR_FAULT)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Answer a form that did not come from a page of this server, or came without its cookie."""
    detail = (
        "this form was not sent by a page of this server, or its cookie is missing: "
        "allow cookies for this address, open the page anew and send the form again"
    )
    return error_response(request, Problem(HTTPStatus.FORBIDDEN, detail))
