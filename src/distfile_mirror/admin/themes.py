"""Light, dark, or as the system has it: a cookie, so that the first paint is right without a script."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

AUTOMATIC = "automatic"
THEMES = (AUTOMATIC, "light", "dark")
COOKIE = "theme"
YEAR_SECONDS = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """Return the theme that somebody chose; empty for that of the system."""
    chosen = request.COOKIES.get(COOKIE, "")
    return chosen if chosen in THEMES and chosen != AUTOMATIC else ""


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Remember a theme, and go back to the page where it was chosen."""
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}) and back.startswith("/")
    response = redirect(back if is_ours else "/")
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie(COOKIE, theme, max_age=YEAR_SECONDS, samesite="Lax", httponly=True)
    return response
