"""From the URL of a database to Django's settings for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

BUSY_TIMEOUT_SECONDS = 30
EXAMPLES = "sqlite:///path/to/catalog.sqlite3, postgresql://USER:PASSWORD@HOST/NAME or cockroachdb://USER@HOST/NAME"
SERVERS = {"postgresql": "django.db.backends.postgresql", "cockroachdb": "django_cockroachdb"}
DEFAULT_PORTS = {"postgresql": "5432", "cockroachdb": "26257"}
# A server that was unplugged must be noticed in seconds, not when TCP gives up after a quarter of an hour. By libpq's
# names; each can be set otherwise in the URL's query.
PATIENCE: Mapping[str, str] = {
    "connect_timeout": "3",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",  # milliseconds
}


def database_settings(url: str) -> dict[str, Any]:
    """Translate a URL into Django's DATABASES["default"].

    ``sqlite:///relative``, ``sqlite:////absolute``; ``postgresql://`` and ``cockroachdb://`` with user, password,
    host, port and name as libpq has them (a host that begins with %2F is the folder of a socket), and libpq's
    parameters as the query (``?sslmode=verify-full``).

    Raises:
        ValueError: for a URL that names no database known here; its text holds no password.
    """
    parts = urlsplit(url)
    if parts.scheme in {"postgres", *SERVERS}:
        return _server_settings(parts)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) <= 1:
        message = f"{_without_password(parts)!r} is not a database URL; write {EXAMPLES}"
        raise ValueError(message)
    return _sqlite_settings(str(Path(unquote(parts.path[1:])).absolute()))


def is_sqlite(url: str) -> bool:
    """Tell whether ``url`` names a SQLite database, a file on this machine."""
    return url.startswith("sqlite:")


def identity_of(url: str) -> str:
    """Return what tells the database of ``url`` from others, whoever signs in: nothing secret. Raises ValueError."""
    settings = database_settings(url)
    return " ".join(str(settings.get(part, "")) for part in ("ENGINE", "HOST", "PORT", "NAME"))


def _sqlite_settings(path: str) -> dict[str, Any]:
    """WAL, so that readers never wait; every transaction takes the write lock at its start.

    So none fails half-way; synchronous=FULL, so that what was answered survives a power cut.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": BUSY_TIMEOUT_SECONDS,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                # In pages of 4 KiB: memory for a transaction that touches thousands of rows, and how much the
                # log may grow before it is written back.
                "PRAGMA cache_size=8000; PRAGMA wal_autocheckpoint=4000;"
                # The most that SQLite maps, in bytes: pages of a large catalog are read where the kernel has them.
                "PRAGMA mmap_size=2147418112;"
            ),
        },
    }


def _server_settings(parts: SplitResult) -> dict[str, Any]:
    scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
    try:
        port = str(parts.port or "")
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        message = f"{_without_password(parts)!r} is not a database URL: {error}; write {EXAMPLES}"
        raise ValueError(message) from None
    host, name = unquote(_raw_host(parts)), unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        message = f"{_without_password(parts)!r} names no database; write {EXAMPLES}"
        raise ValueError(message)
    return {
        "ENGINE": SERVERS[scheme],
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port or ("" if not host or host.startswith("/") else DEFAULT_PORTS[scheme]),
        "CONN_MAX_AGE": None,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # a pooler in front of the server may not keep them
        "OPTIONS": {"application_name": "distfile-mirror", **PATIENCE, **options},
    }


def _raw_host(parts: SplitResult) -> str:
    """Return the host as written: ``hostname`` lower-cases, which a folder must not be."""
    host = parts.netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _without_password(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}").geturl()
