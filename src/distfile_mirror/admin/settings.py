"""Django's settings of the admin, made from plain arguments: nothing here reads a configuration.

What the views need of the rest of the product is in one frozen AdminContext, which they reach
by ``current_context()``.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import django
from django.conf import settings

from distfile_mirror.admin.sign_in import OIDC, SignIn
from distfile_mirror.catalog.database import CATALOG_APP
from distfile_mirror.catalog.database_urls import database_settings

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
MAX_BODY_BYTES = 4 << 20
MIN_PASSWORD_CHARACTERS = 12
APPS = (
    CATALOG_APP,
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "distfile_mirror.admin",
)
MIDDLEWARE = (
    "distfile_mirror.admin.middleware.identify_requests",
    "distfile_mirror.admin.middleware.count_requests",
    "distfile_mirror.admin.middleware.set_security_headers",
    "distfile_mirror.admin.middleware.refuse_unknown_hosts",
    "distfile_mirror.admin.middleware.believe_trusted_proxies",
    "distfile_mirror.admin.middleware.guard_api",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "distfile_mirror.admin.access.EnforceRights",
    "django.middleware.csrf.CsrfViewMiddleware",
    "distfile_mirror.admin.middleware.ExplainErrors",
)


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
    ``local_user``: who acts, as long as no sign-in is configured. ``require_approval``: whether what
    declarers declare must be approved. ``digests_of``: see
    catalog.declare. ``check_blobs`` returns if the blob store answers, else raises UnavailableError.
    ``resolve_tag`` asks a registry. ``default_platforms`` are fetched of an index where nobody says which.
    ``secret_key`` signs cookies: 32 random bytes or more as text, the same in every process.
    ``metrics_dir``: where components without a port write their metrics.
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
    metrics_dir: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    sign_in: SignIn = field(default_factory=SignIn)
    require_approval: bool = False

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
        **_tables(),
        "DISTFILE_MIRROR": context,
        "DATABASES": {"default": database},
        "SECRET_KEY": context.secret_key,
        "ROOT_URLCONF": "distfile_mirror.admin.urls",
        "APPEND_SLASH": False,
        "STATIC_URL": "/static/",
        "DATA_UPLOAD_MAX_MEMORY_SIZE": MAX_BODY_BYTES,
        "TEMPLATES": [_templates()],
        **_security(context),
        **_sessions(context),
        **_oidc(context),
    }


def configure(context: AdminContext) -> None:
    """Set Django up for the process that serves the admin. Raises ValueError as above."""
    settings.configure(**django_settings(context))
    django.setup()
    # A page that is not there is no news for the log; what fails is (ERROR).
    logging.getLogger("django.request").setLevel(logging.ERROR)


def configure_tables(database_url: str) -> None:
    """Set Django up for a process that has all tables and no pages. Raises ValueError as above."""
    settings.configure(**_tables(), DATABASES={"default": database_settings(database_url)})
    django.setup()


def _tables() -> dict[str, Any]:
    """Return what the tables of catalog and people need, and the rules for passwords."""
    validation = "django.contrib.auth.password_validation"
    return {
        "INSTALLED_APPS": list(APPS),
        "MIDDLEWARE": list(MIDDLEWARE),  # allauth refuses to be set up without its own
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "USE_I18N": False,
        "LOGGING_CONFIG": None,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTH_USER_MODEL": "mirror_admin.User",
        # Migrations of allauth look at these, too.
        "ACCOUNT_USER_MODEL_USERNAME_FIELD": "name",
        "ACCOUNT_USER_MODEL_EMAIL_FIELD": None,
        "ACCOUNT_SIGNUP_FIELDS": ["username*"],
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_PRESERVE_USERNAME_CASING": False,
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"],
        "PASSWORD_HASHERS": ["distfile_mirror.admin.passwords.SmallArgon2PasswordHasher"],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": f"{validation}.MinimumLengthValidator", "OPTIONS": {"min_length": MIN_PASSWORD_CHARACTERS}},
            {"NAME": f"{validation}.CommonPasswordValidator"},
            {
                "NAME": f"{validation}.UserAttributeSimilarityValidator",
                "OPTIONS": {"user_attributes": ("name",)},
            },
        ],
    }


def _sessions(context: AdminContext) -> dict[str, Any]:
    return {
        "SESSION_COOKIE_AGE": int(context.sign_in.session_seconds),
        "SESSION_COOKIE_SECURE": _is_encrypted(context),
        "SESSION_COOKIE_HTTPONLY": True,
        # Not Strict: who follows a link from a build log, or comes back from the provider, is signed in.
        "SESSION_COOKIE_SAMESITE": "Lax",
        "LOGIN_URL": "/sign-in",
        "LOGIN_REDIRECT_URL": "/",
    }


def _oidc(context: AdminContext) -> dict[str, Any]:
    provider = context.sign_in.oidc
    apps = []
    if provider:
        app = {"provider_id": OIDC, "name": provider.issuer, "client_id": provider.client_id}
        apps = [{**app, "secret": provider.client_secret, "settings": {"server_url": provider.issuer}}]
    return {
        "SOCIALACCOUNT_PROVIDERS": {"openid_connect": {"APPS": apps, "OAUTH_PKCE_ENABLED": True}},
        "SOCIALACCOUNT_ADAPTER": "distfile_mirror.admin.oidc.ProviderAdapter",
        "SOCIALACCOUNT_EMAIL_VERIFICATION": "none",
        # A link: the policy against foreign forms would stop the way to the provider. What it begins does no harm.
        "SOCIALACCOUNT_LOGIN_ON_GET": True,
        "ACCOUNT_ADAPTER": "distfile_mirror.admin.oidc.AccountAdapter",
        "ACCOUNT_DEFAULT_HTTP_PROTOCOL": "https" if _is_encrypted(context) else "http",
    }


def _is_encrypted(context: AdminContext) -> bool:
    return context.admin_origin.startswith("https://")


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
    return {
        # A page elsewhere can point a name of its own at this machine (DNS rebinding); it comes
        # under that name then, and is refused.
        "ALLOWED_HOSTS": [*LOOPBACK_HOSTS, *_host(context.admin_url), *context.allowed_hosts],
        "CSRF_TRUSTED_ORIGINS": [context.admin_origin],
        "CSRF_FAILURE_VIEW": "distfile_mirror.admin.error_pages.csrf_failure",
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Strict",
        "CSRF_COOKIE_SECURE": _is_encrypted(context),
    }


def _host(url: str) -> list[str]:
    host = urlsplit(url).hostname
    if not host:
        return []
    return [f"[{host}]" if ":" in host else host]
