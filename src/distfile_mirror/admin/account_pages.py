"""Signing in and out, and what people change about themselves: password and API tokens."""

from http import HTTPStatus
from typing import Any

import structlog
from django.contrib.auth import login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from distfile_mirror.admin.error_pages import error_response
from distfile_mirror.admin.identity import SESSION, Identity, identify, identity_of
from distfile_mirror.admin.models import User
from distfile_mirror.admin.people import set_password
from distfile_mirror.admin.problems import Problem
from distfile_mirror.admin.sessions import forget_ended_sessions
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import ACCOUNTS, OIDC
from distfile_mirror.admin.throttle import TooManyAttemptsError, user_with_password
from distfile_mirror.admin.tokens import NewToken, create_token, own_tokens, revoke_token
from distfile_mirror.admin.ways_back import HOME, way_back
from distfile_mirror.errors import ConflictError, InvalidInputError, MirrorError, NotFoundError
from distfile_mirror.model.roles import Role

BACKEND = "django.contrib.auth.backends.ModelBackend"
WRONG = "name or password is wrong, or the user is disabled"

_log = structlog.get_logger(__name__)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Show how people sign in here, or take name and password."""
    methods = current_context().sign_in.methods
    if not methods:
        return redirect(HOME)
    if request.method == "POST" and ACCOUNTS in methods:
        return _sign_in(request)
    if identify(request) is not None:
        return redirect(way_back(request.GET.get("next", HOME)))
    if not current_context().sign_in.has_page:
        detail = "people come to this server through a reverse proxy that signs them in, and this request did not"
        return error_response(request, Problem(HTTPStatus.FORBIDDEN, detail))
    return _show_sign_in(request, request.GET.get("next", HOME))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("sign_in")


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show who somebody is here, and their tokens."""
    return _show_account(request)


@sensitive_post_parameters("old", "password")
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """Set another password for whoever is signed in with one."""
    identity = identity_of(request)
    if identity.way != SESSION or identity.user is None or identity.user.source != ACCOUNTS:
        return _show_account(request, ConflictError("you have no password here"))
    try:
        _check_old_password(request, identity.name)
        user = set_password(identity.user.pk, request.POST.get("password", ""), actor=identity.actor)
    except (InvalidInputError, TooManyAttemptsError) as error:
        return _show_account(request, error)
    update_session_auth_hash(request, user)  # others of their sessions end; this one goes on
    return redirect("account")


@require_POST
def make_token(request: HttpRequest) -> HttpResponse:
    """Make a token, and show its secret this once."""
    try:
        made = create_token(
            identity_of(request),
            name=request.POST.get("name", ""),
            role=request.POST.get("role", ""),
            days=_days(request.POST.get("days", "").strip()),
        )
    except (InvalidInputError, ConflictError) as error:
        return _show_account(request, error)
    return _show_account(request, made=made)


@require_POST
def end_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revoke a token."""
    try:
        revoke_token(identity_of(request), token_id)
    except NotFoundError as error:
        return _show_account(request, error)
    return redirect("account")


def _check_old_password(request: HttpRequest, name: str) -> None:
    if user_with_password(name, request.POST.get("old", ""), _address(request)) is None:
        raise InvalidInputError({"old": ["this is not your password so far"]})


def _days(text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal()):
        raise InvalidInputError({"days": ["a number of days; empty for no end"]})
    return int(text) if text else None


def _sign_in(request: HttpRequest) -> HttpResponse:
    name, address, back = request.POST.get("name", ""), _address(request), request.POST.get("next", HOME)
    try:
        user = user_with_password(name, request.POST.get("password", ""), address)
    except TooManyAttemptsError as error:
        _log.warning("sign-in throttled", name=name, address=address)
        response = _show_sign_in(request, back, str(error), HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    if user is None or user.source != ACCOUNTS:
        _log.info("sign-in refused", name=name, address=address)
        return _show_sign_in(request, back, WRONG, HTTPStatus.UNPROCESSABLE_ENTITY)
    forget_ended_sessions()
    login(request, user, backend=BACKEND)
    return redirect(way_back(back))


def _show_sign_in(
    request: HttpRequest, back: str, refused: str = "", status: HTTPStatus = HTTPStatus.OK
) -> HttpResponse:
    sign_in = current_context().sign_in
    shown = {
        "next": way_back(back),
        "refused": refused,
        "name": request.POST.get("name", ""),
        "accounts": ACCOUNTS in sign_in.methods,
        "provider": sign_in.oidc.issuer if sign_in.oidc and OIDC in sign_in.methods else "",
    }
    return render(request, "mirror/sign_in.html", shown, status=status.value)


def _show_account(
    request: HttpRequest, refused: MirrorError | None = None, made: NewToken | None = None
) -> HttpResponse:
    identity = identity_of(request)
    shown: dict[str, Any] = {
        "tokens": own_tokens(identity.user) if identity.user else [],
        "roles": [role for role in Role if identity.may(role)],
        "has_password": _has_password(identity),
        "refused": refused,
        "typed": request.POST,
        "made": made,
    }
    status = HTTPStatus.OK
    if refused is not None:
        limited = isinstance(refused, TooManyAttemptsError)
        status = HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.UNPROCESSABLE_ENTITY
    response = render(request, "mirror/account.html", shown, status=status.value)
    response.headers["Cache-Control"] = "no-store"  # a secret may be on it
    return response


def _has_password(identity: Identity) -> bool:
    user: User | None = identity.user
    return identity.way == SESSION and user is not None and user.source == ACCOUNTS


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
