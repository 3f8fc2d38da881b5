"""The connection to the SQL database: from a URL to Django's settings, and its faults as ours.

Processes without pages (proxy, downloaders) set Django up by ``configure``; the admin brings
settings of its own and takes only ``database_settings`` from here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from distfile_mirror.errors import MirrorError, UnavailableError

CATALOG_APP = "distfile_mirror.catalog"
BUSY_TIMEOUT_SECONDS = 30


class SchemaOutdatedError(MirrorError):
    """The database is not of this release: run `distfile-mirror migrate`."""


def database_settings(url: str) -> dict[str, Any]:
    """Translate ``sqlite:///relative``, ``sqlite:////absolute`` into Django's DATABASES["default"].

    SQLite: WAL, so that readers never wait; every transaction takes the write lock at its start,
    so that none fails half-way; synchronous=FULL, so that what was answered survives a power cut.

    Raises:
        ValueError: for a URL that names no database known here.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) <= 1:
        message = f"{url!r} is not a database URL; write sqlite:///path/to/catalog.sqlite3"
        raise ValueError(message)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(unquote(parts.path[1:])).absolute()),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": BUSY_TIMEOUT_SECONDS,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                # In pages of 4 KiB: memory for a transaction that touches thousands of rows, and how much the
                # log may grow before it is written back.
                "PRAGMA cache_size=8000; PRAGMA wal_autocheckpoint=4000;"
            ),
        },
    }


def configure(url: str) -> None:
    """Set Django up for a process that has the catalog and no pages. Raises ValueError as above."""
    settings.configure(
        DATABASES={"default": database_settings(url)},
        INSTALLED_APPS=[CATALOG_APP],
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


@contextmanager
def available() -> Iterator[None]:
    """Turn a database that does not answer into UnavailableError, and drop the broken connection."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise UnavailableError(f"the database does not answer now: {_first_line(error)}") from error


def check() -> None:
    """Return if the database answers from its tables. Raises UnavailableError."""
    try:
        with available(), connection.cursor() as cursor:
            cursor.execute("SELECT value FROM catalog_revision")
            cursor.fetchone()
    except DatabaseError as error:
        raise UnavailableError(f"the database cannot be read: {_first_line(error)}") from error


def migrate() -> None:
    """Bring the schema to this release. Raises UnavailableError."""
    with available():
        call_command("migrate", verbosity=0, interactive=False)


def check_schema() -> None:
    """Return if every migration of this release has been applied.

    Raises:
        SchemaOutdatedError: otherwise; a newer schema is accepted, releases run side by side.
        UnavailableError: if the database does not answer.
    """
    try:
        with available():
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise UnavailableError(f"the database cannot be read: {_first_line(error)}") from error
    if plan:
        missing = ", ".join(f"{migration.app_label} {migration.name}" for migration, _backwards in plan)
        raise SchemaOutdatedError(f"the database lacks {missing}: run `distfile-mirror migrate`")


def is_configured() -> bool:
    """Tell whether Django is set up in this process."""
    return bool(settings.configured and apps.ready)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
