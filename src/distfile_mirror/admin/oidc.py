"""Sign-in with an OpenID provider: django-allauth speaks the protocol; here stands what its answer means.

Who comes is known by the provider's ``sub`` alone. A name that somebody has already is never taken over: a
number is put behind it.
"""

import re
from http import HTTPStatus
from itertools import count
from typing import Any, NoReturn

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.openid_connect import views
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe
from requests import RequestException

from distfile_mirror.admin.error_pages import error_response
from distfile_mirror.admin.identity import refuse_stranger, renew_role, role_from
from distfile_mirror.admin.models import MAX_NAME_CHARACTERS, User
from distfile_mirror.admin.people import normalised_name, user_event
from distfile_mirror.admin.problems import Problem
from distfile_mirror.admin.sessions import forget_ended_sessions
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import OIDC
from distfile_mirror.admin.ways_back import is_own_page
from distfile_mirror.errors import NotAllowedError

_NOT_OF_A_NAME = re.compile(r"[^\w.@+-]+")

_log = structlog.get_logger(__name__)


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """What allauth asks about people who come from the provider."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Give them their role of today, or send them away."""
        try:
            self._admit(sociallogin)
        except NotAllowedError as error:
            _end(request, Problem(HTTPStatus.FORBIDDEN, str(error)))

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """Add who is new."""
        user: User = super().save_user(request, sociallogin, form)
        user_event(user.name, "added", user, after={"role": user.role, "source": user.source}).save()
        return user

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:  # noqa: ARG002
        """Name who is new."""
        user: User = sociallogin.user
        user.source = OIDC
        user.name = _free_name(str(data.get("username") or data.get("email") or sociallogin.account.uid))
        return user

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002
        """Let in whom pre_social_login let pass."""
        return True

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,  # noqa: ARG002
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,  # noqa: ARG002
    ) -> NoReturn:
        """Say that it did not work."""
        _log.warning("sign-in by the OpenID provider failed", error=str(error), reason=str(exception or ""))
        detail = "the sign-in did not succeed, or was begun in another window: begin it anew at /sign-in"
        _end(request, Problem(HTTPStatus.FORBIDDEN, detail))

    def _admit(self, sociallogin: Any) -> None:
        if sociallogin.state.get("process") != "login":  # else it would join two accounts
            raise NotAllowedError
        sociallogin.email_addresses = []  # nothing here is decided by them, and none is kept
        sign_in = current_context().sign_in
        known = sociallogin.user if sociallogin.is_existing else None
        if known is not None:
            refuse_stranger(known, OIDC)
        role = role_from(known, _groups(sociallogin.account.extra_data), sign_in)
        if known is not None:
            renew_role(known, role)
        else:
            sociallogin.user.role = role.value


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """What allauth asks about users and addresses."""

    def is_safe_url(self, url: str) -> bool:
        """Tell whether people may be led to ``url`` after signing in."""
        return is_own_page(url)

    def login(self, request: HttpRequest, user: User) -> None:
        """Begin the session."""
        forget_ended_sessions()
        super().login(request, user)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Send somebody who is disabled away."""
        return error_response(request, Problem(HTTPStatus.FORBIDDEN, f"the user {user.name} is disabled"))


@require_safe
def begin(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Lead to the provider."""
    return _reached(request, views.login, provider_id)


@require_safe
def come_back(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Take who comes back from the provider."""
    return _reached(request, views.callback, provider_id)


def _reached(request: HttpRequest, view: Any, provider_id: str) -> HttpResponseBase:
    try:
        response: HttpResponseBase = view(request, provider_id)
    except RequestException as error:
        _log.warning("the OpenID provider does not answer", reason=str(error))
        detail = "the OpenID provider does not answer as it should; try again, and see the server's log"
        return error_response(request, Problem(HTTPStatus.BAD_GATEWAY, detail))
    return response


def _groups(data: dict[str, Any]) -> set[str]:
    """Return the groups that the provider lists, in the id token or for the user."""
    provider = current_context().sign_in.oidc
    claim = provider.groups_claim if provider else ""
    sources = [data.get("id_token") or {}, data.get("userinfo") or {}]
    if len({source["sub"] for source in sources if "sub" in source}) > 1:
        text = "the OpenID provider speaks of two people at once"  # OpenID Connect Core 1.0, 5.3.2
        raise NotAllowedError(text)
    found: set[str] = set()
    for listed in (source.get(claim, []) for source in sources):
        found |= {listed} if isinstance(listed, str) else {str(each) for each in listed}
    return found


def _free_name(wanted: str) -> str:
    """Return ``wanted`` as a name that nobody has yet."""
    stem = _NOT_OF_A_NAME.sub("-", wanted.strip()).strip("-")[: MAX_NAME_CHARACTERS - 6] or "user"
    for number in count(1):
        name = normalised_name(stem if number == 1 else f"{stem}{number}")
        if not User.objects.filter(name=name).exists():
            return name
    raise AssertionError


def _end(request: HttpRequest, problem: Problem) -> NoReturn:
    raise ImmediateHttpResponse(error_response(request, problem))
