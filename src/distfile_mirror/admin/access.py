"""Sees to it that each request has the right to what it asks for, before anything is done."""

import hmac
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import redirect
from django.urls import ResolverMatch
from django.utils.http import urlencode

from distfile_mirror.admin.error_pages import error_response
from distfile_mirror.admin.identity import BEARER, SESSION, Identity, identify, identity_of
from distfile_mirror.admin.middleware import SAFE_METHODS, GetResponse
from distfile_mirror.admin.people import administrators
from distfile_mirror.admin.problems import Problem, explain, is_api
from distfile_mirror.admin.rights import EVERYBODY, RIGHTS, methods_of, right_name
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import is_loopback
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.errors import MirrorError, NotAllowedError, NotSignedInError
from distfile_mirror.model.roles import Role

MAX_NAMED = 5
# What a reverse proxy adds: with one of these, a request from this machine is somebody else's.
FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")


class EnforceRights:
    """Answers what is not allowed; lets through the rest."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponseBase | None:
        """Answer instead of the view, unless it may be asked."""
        try:
            return _answer(request)
        except NotSignedInError as error:
            return _lead_to_sign_in(request) or error_response(request, _explained(error))
        except (MirrorError, DatabaseError) as error:
            return error_response(request, _explained(error))


def refuse_below(request: HttpRequest, least: Role) -> None:
    """Ask for more than the address does, where one form has several buttons. Raises NotAllowedError."""
    identity = identity_of(request)
    if not identity.may(least):
        raise NotAllowedError(_missing(identity, least))


def refuse_unless_own(request: HttpRequest, artifact: File | Image) -> None:
    """Let a declarer do this only to what they declared themselves. Raises NotAllowedError."""
    identity = identity_of(request)
    if identity.may(Role.APPROVER):
        return
    if not any(identity.declared(use.declared_by) for use in artifact.uses.all()):
        raise NotAllowedError(f"you did not declare it; {_missing(identity, Role.APPROVER)}")


def _answer(request: HttpRequest) -> HttpResponseBase | None:
    match = request.resolver_match
    if match is None:
        raise NotAllowedError
    name = right_name(match, request.method or "")
    if name not in RIGHTS:
        return _unknown(request, match)
    least = RIGHTS[name]
    if least is EVERYBODY or (name == "metrics" and _is_scraper(request)):
        return None
    refuse_below(request, least)
    if is_api(request) and identity_of(request).way == SESSION and request.method not in SAFE_METHODS:
        return _check_csrf(request)
    return None


def _unknown(request: HttpRequest, match: ResolverMatch) -> HttpResponseBase:
    """Answer for what is not in the table, whoever asks."""
    identity_of(request)
    allowed = ", ".join(methods_of(match))
    if is_api(request) and allowed:
        detail = f"{request.method} is not possible here; possible: {allowed}"
        problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
        return error_response(request, problem)
    raise NotAllowedError


def _is_scraper(request: HttpRequest) -> bool:
    token = current_context().sign_in.metrics_token
    given = request.headers.get("Authorization", "")
    if token and hmac.compare_digest(given.encode(), f"{BEARER}{token}".encode()):
        return True
    is_forwarded = any(name in request.headers for name in FORWARDING_HEADERS)
    return is_loopback(request.META.get("REMOTE_ADDR", "")) and not is_forwarded


def _check_csrf(request: HttpRequest) -> HttpResponseBase | None:
    """Ask for the token of our pages: a browser sends the session's cookie along, whoever made it ask."""
    check = CsrfViewMiddleware(lambda _request: HttpResponse())
    check.process_request(request)
    return check.process_view(request, lambda *_: HttpResponse(), (), {})


def _lead_to_sign_in(request: HttpRequest) -> HttpResponse | None:
    if is_api(request) or request.path == "/metrics" or not current_context().sign_in.has_page:
        return None
    back = {"next": request.get_full_path()} if request.method in SAFE_METHODS and request.path != "/" else {}
    return redirect("/sign-in" + ("?" + urlencode(back) if back else ""))


def _missing(identity: Identity, least: Role) -> str:
    token = f" (by the token {identity.token.name})" if identity.token else ""
    names = administrators()
    who = f": {', '.join(names[:MAX_NAMED])}" if names else ""
    return (
        f"this needs the role {least}, and {identity.name}{token} is {identity.role}; "
        f"an administrator can change that{who}"
    )


def _explained(error: Exception) -> Problem:
    return explain(error) or Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the server")


def rights_for_page(request: HttpRequest) -> dict[str, Any]:
    """Return what templates know of who asks: ``identity``, None for nobody, and ``may``, a flag for each role."""
    identity = _identity_for_page(request)
    return {
        "identity": identity,
        "may": {role.value: identity is not None and identity.may(role) for role in Role},
        "signs_in": bool(current_context().sign_in.methods),
    }


def _identity_for_page(request: HttpRequest) -> Identity | None:
    """Return who asks; None as well where that cannot be found out now."""
    try:
        return identify(request)
    except (MirrorError, DatabaseError):
        return None
