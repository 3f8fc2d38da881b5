"""Django's settings of the admin, made from plain arguments: nothing here reads a configuration.

What the views need of the rest of the product is in one frozen AdminContext, which they reach
by ``current_context()``.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import django
from django.conf import settings

from distfile_mirror.catalog.database import CATALOG_APP, database_settings

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
MAX_BODY_BYTES = 4 << 20


class ResolvedTag(Protocol):
    """What a registry says that a tag means. ``platforms``: of an index, as model.platforms writes them."""

    @property
    def digest(self) -> str:
        """The digest, as ``algorithm:hex``."""

    @property
    def media_type(self) -> str:
        """Of the manifest."""

    @property
    def platforms(self) -> Sequence[str]:
        """Of an index; empty for others."""


# Registry, repository, tag -> what the tag means now. Raises TransientFetchError, PermanentFetchError.
ResolveTag = Callable[[str, str, str], ResolvedTag]
# As catalog.declare has it, which cannot be imported before Django is set up.
DigestsOf = Callable[[str, Iterable[str]], dict[str, str]]


@dataclass(frozen=True, slots=True)
class AdminContext:
    """What the admin is given by whoever starts it.

    ``admin_url`` and ``proxy_url``: the addresses that people and builds use, without a slash at
    the end. ``ca_file``: where the CA certificate lies (PEM), for the commands that are shown.
    ``local_user``: who acts, as long as no sign-in is configured. ``digests_of``: see
    catalog.declare. ``check_blobs`` returns if the blob store answers, else raises UnavailableError.
    ``resolve_tag`` asks a registry. ``default_platforms`` are fetched of an index where nobody says which.
    ``secret_key`` signs cookies: 32 random bytes or more as text, the same in every process.
    ``allowed_hosts``: further names under which the admin is reached.
    """

    database_url: str
    admin_url: str
    proxy_url: str
    ca_file: Path
    local_user: str
    secret_key: str
    digests_of: DigestsOf
    check_blobs: Callable[[], None]
    resolve_tag: ResolveTag
    default_platforms: tuple[str, ...]
    allowed_hosts: tuple[str, ...] = ()

    @property
    def admin_origin(self) -> str:
        """Scheme, host and port of ``admin_url``, as a browser writes them in ``Origin``."""
        parts = urlsplit(self.admin_url)
        return f"{parts.scheme}://{parts.netloc}".lower()


def current_context() -> AdminContext:
    """Return the context that this process was configured with."""
    context: AdminContext = settings.DISTFILE_MIRROR
    return context


def django_settings(context: AdminContext) -> dict[str, Any]:
    """Make Django's settings for ``context``. Raises ValueError for a database URL that is none."""
    database = database_settings(context.database_url)
    # A database that was restarted is noticed before the next request, not by it.
    database["CONN_HEALTH_CHECKS"] = True
    return {
        "DISTFILE_MIRROR": context,
        "DATABASES": {"default": database},
        "INSTALLED_APPS": [CATALOG_APP, "distfile_mirror.admin"],
        "USE_TZ": True,
        "USE_I18N": False,
        "LOGGING_CONFIG": None,
        "SECRET_KEY": context.secret_key,
        "ROOT_URLCONF": "distfile_mirror.admin.urls",
        "APPEND_SLASH": False,
        "STATIC_URL": "/static/",
        "DATA_UPLOAD_MAX_MEMORY_SIZE": MAX_BODY_BYTES,
        "TEMPLATES": [_templates()],
        **_security(context),
    }


def configure(context: AdminContext) -> None:
    """Set Django up for the process that serves the admin. Raises ValueError as above."""
    settings.configure(**django_settings(context))
    django.setup()
    # A page that is not there is no news for the log; what fails is (ERROR).
    logging.getLogger("django.request").setLevel(logging.ERROR)


def _templates() -> dict[str, Any]:
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "distfile_mirror.admin.pages.shared_by_all_pages",
            ],
            "builtins": ["distfile_mirror.admin.templatetags.mirror"],
        },
    }


def _security(context: AdminContext) -> dict[str, Any]:
    encrypted = context.admin_origin.startswith("https://")
    return {
        # A page elsewhere can point a name of its own at this machine (DNS rebinding); it comes
        # under that name then, and is refused.
        "ALLOWED_HOSTS": [*LOOPBACK_HOSTS, *_host(context.admin_url), *context.allowed_hosts],
        "MIDDLEWARE": [
            "distfile_mirror.admin.middleware.count_requests",
            "distfile_mirror.admin.middleware.set_security_headers",
            "distfile_mirror.admin.middleware.refuse_unknown_hosts",
            "distfile_mirror.admin.middleware.guard_api",
            "django.middleware.csrf.CsrfViewMiddleware",
            "distfile_mirror.admin.middleware.ExplainErrors",
        ],
        "CSRF_TRUSTED_ORIGINS": [context.admin_origin],
        "CSRF_FAILURE_VIEW": "distfile_mirror.admin.error_pages.csrf_failure",
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Strict",
        "CSRF_COOKIE_SECURE": encrypted,
    }


def _host(url: str) -> list[str]:
    host = urlsplit(url).hostname
    if not host:
        return []
    return [f"[{host}]" if ":" in host else host]
