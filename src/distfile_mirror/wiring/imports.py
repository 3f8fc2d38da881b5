"""What several processes of one supervisor need is imported once, before they fork; its memory is shared, too.

Only what needs no Django that was set up: each fork sets up its own. What is not named here is imported where it is
used, a bit later.
"""

from importlib import import_module

PROXY = (
    "cryptography.x509",
    "django.core.management",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "distfile_mirror.authority.leaves",
    "distfile_mirror.proxy.own",
    "distfile_mirror.proxy.server",
    "distfile_mirror.proxy.tls",
    "distfile_mirror.wiring.storage",
    "prometheus_client",
)
DOWNLOADERS = (
    "distfile_mirror.downloaders.blob_sink",
    "distfile_mirror.downloaders.manifest_tree",
    "distfile_mirror.upstream.http",
    "distfile_mirror.upstream.registry",
    "distfile_mirror.wiring.metrics",
)
ADMIN = (
    "a2wsgi",
    "django.contrib.sessions.middleware",
    "django.template.engine",
    "license_expression",
    "requests",  # by allauth
    "uvicorn.config",
    "uvicorn.protocols.http.httptools_impl",
    "whitenoise",
)


def import_for_proxies() -> None:
    """Import what a worker of the proxy needs."""
    _import(PROXY)


def import_for_all() -> None:
    """Import what more than one component needs, or takes long."""
    _import(PROXY + DOWNLOADERS + ADMIN)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        import_module(name)
