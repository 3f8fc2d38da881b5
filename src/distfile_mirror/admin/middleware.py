"""What holds for every request: counted, guarded against pages elsewhere, and never answered by a traceback.

A web page in the browser of somebody who may change things here reaches this server as well, so what tells
such a page apart from its user (Host, Origin, Sec-Fetch-Site, the CSRF token) is checked before anything is done.
"""

from collections.abc import Callable
from http import HTTPStatus

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from distfile_mirror.admin.error_pages import error_response
from distfile_mirror.admin.monitoring import REQUESTS
from distfile_mirror.admin.problems import PROBLEM_TYPE, Problem, explain, is_api, problem_response
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import is_within
from distfile_mirror.model.addresses import IPNetwork
from distfile_mirror.model.request_ids import HEADER as REQUEST_ID
from distfile_mirror.model.request_ids import request_id_of

log = structlog.get_logger()

# In META: who is connected, whatever a proxy says of who asked.
PEER = "distfile_mirror.peer"

GetResponse = Callable[[HttpRequest], HttpResponseBase]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COUNTED_METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# What a page elsewhere may make a browser send. Absent: not a browser, or one too old to say.
FOREIGN_SITES = frozenset({"cross-site", "same-site"})


def identify_requests(get_response: GetResponse) -> GetResponse:
    """Let all that is logged meanwhile carry the request's id, and tell it; log what may have changed something."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_of(request.headers.get(REQUEST_ID, ""))
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = get_response(request)
            if request.method not in SAFE_METHODS or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.info("answered", method=request.method, path=request.path, status=response.status_code)
        response.headers[REQUEST_ID] = request_id
        return response

    return middleware


def count_requests(get_response: GetResponse) -> GetResponse:
    """Count every answer by method and class of status."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        # A method is whatever the client sends: only known ones may become labels.
        method = request.method if request.method in COUNTED_METHODS else "other"
        REQUESTS.labels(method=method, status=f"{response.status_code // 100}xx").inc()
        return response

    return middleware


def set_security_headers(get_response: GetResponse) -> GetResponse:
    """Tell browsers to load nothing from elsewhere, and to show nothing of this elsewhere."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if isinstance(response, HttpResponse):  # else the server would have to send it in chunks
            response.headers.setdefault("Content-Length", str(len(response.content)))
        # States change by themselves, and what is shown must not be an old one.
        response.headers.setdefault("Cache-Control", "no-store" if is_api(request) else "no-cache, private")
        return response

    return middleware


def refuse_unknown_hosts(get_response: GetResponse) -> GetResponse:
    """Refuse a Host that is not this server's: a name elsewhere may have been pointed here."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        try:
            request.get_host()
        except DisallowedHost:
            detail = (
                f"this server does not answer under the name that was asked for; use {current_context().admin_url}, "
                "or set admin_url to the address under which people reach it"
            )
            return error_response(request, Problem(HTTPStatus.BAD_REQUEST, detail))
        return get_response(request)

    return middleware


def believe_trusted_proxies(get_response: GetResponse) -> GetResponse:
    """Take client address and scheme from the reverse proxies that are trusted with it, and from nobody else."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        peer = request.META[PEER] = request.META.get("REMOTE_ADDR", "")
        trusted = current_context().sign_in.trusted_proxies
        if is_within(peer, trusted):
            request.META["REMOTE_ADDR"] = _client(request.headers.get("X-Forwarded-For", ""), trusted) or peer
            if request.headers.get("X-Forwarded-Proto") == "https":
                request.META["wsgi.url_scheme"] = "https"  # META is the very environment of WSGI
        return get_response(request)

    return middleware


def guard_api(get_response: GetResponse) -> GetResponse:
    """Refuse changes by pages elsewhere, and see to it that every refusal under /api/ is a problem document."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not is_api(request):
            return get_response(request)
        if problem := _refusal(request):
            return problem_response(request, problem)
        response = get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _method_not_allowed(request, response)
        return response

    return middleware


class ExplainErrors:
    """Makes a page or a problem document of an exception that has a meaning for whoever asked."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for a view that raised ``error``; None leaves it to Django, which logs it and answers 500."""
        problem = explain(error)
        return error_response(request, problem) if problem else None


def _client(forwarded_for: str, trusted: tuple[IPNetwork, ...]) -> str:
    """Return the last address that no trusted proxy has; what stands before it, anybody may have written."""
    for address in reversed([each.strip() for each in forwarded_for.split(",")]):
        if not is_within(address, trusted):
            return address
    return ""


def _refusal(request: HttpRequest) -> Problem | None:
    if request.method in SAFE_METHODS:
        return None
    own_origins = {current_context().admin_origin, f"{request.scheme}://{request.get_host()}"}
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site") in FOREIGN_SITES or (origin and origin.lower() not in own_origins):
        return Problem(HTTPStatus.FORBIDDEN, "a page of another site may not change anything here")
    has_body = request.META.get("CONTENT_LENGTH", "") not in {"", "0"} or "Transfer-Encoding" in request.headers
    # A form of another site can send other types without asking first, but never this one (CORS).
    if has_body and request.content_type != "application/json":
        detail = "a body must be JSON: send it with Content-Type: application/json"
        return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    return None


def _method_not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.headers.get("Content-Type") == PROBLEM_TYPE:
        return response
    allowed = response.headers.get("Allow", "")
    detail = f"{request.method} is not possible here; possible: {allowed}"
    return problem_response(request, Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed}))
