"""The connection to the SQL database, and its faults as ours.

Processes without pages (proxy, downloaders) set Django up by ``configure``; the admin brings
settings of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import django
import structlog
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.migrations.executor import MigrationExecutor

from distfile_mirror.catalog.database_urls import database_settings
from distfile_mirror.errors import MirrorError, UnavailableError

CATALOG_APP = "distfile_mirror.catalog"

# Migrations that only add tables, which are asked for where they are used (catalog.table_presence).
_ADDING = ("0003_care", "0004_uris_apart", "0005_last_requests", "0006_trigrams_on_sqlite")
OPTIONAL = frozenset({("catalog", name) for name in _ADDING})

# Any number that nobody else takes as an advisory lock of the database.
MIGRATION_LOCK = 0x6D6972726F72

T = TypeVar("T")

log = structlog.get_logger()


class SchemaOutdatedError(MirrorError):
    """The database is not of this release: run `distfile-mirror migrate`."""


def configure(url: str) -> None:
    """Set Django up for a process that has the catalog and no pages. Raises ValueError as above."""
    settings.configure(
        DATABASES={"default": database_settings(url)},
        INSTALLED_APPS=[CATALOG_APP],
        USE_TZ=True,
        TIME_ZONE="UTC",  # Django's own default is a place in America
        LOGGING_CONFIG=None,
    )
    django.setup()


@contextmanager
def available() -> Iterator[None]:
    """Turn a database that does not answer into UnavailableError, and drop the broken connection.

    So is one that does not let this role do what it asks: somebody forgot the grants, or is about to give them.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise UnavailableError(f"the database does not answer now: {_first_line(error)}") from error
    except ProgrammingError as error:
        if "permission denied" not in str(error):
            raise
        advice = "apply what `distfile-mirror migrate --print-grants` prints"
        raise UnavailableError(f"the database refuses: {_first_line(error)}; {advice}") from error


def reading(ask: Callable[[], T]) -> T:
    """Return what ``ask`` gives; ask again, once, if the connection was an old one that had broken meanwhile.

    So a database that was restarted costs the first readers after it nothing. Raises what ``ask`` raises.
    """
    was_connected = connection.connection is not None
    try:
        return ask()
    except UnavailableError:
        if not was_connected:
            raise
        return ask()


def disconnect() -> None:
    """Close this thread's connection, if there is one."""
    connections.close_all()


def check() -> None:
    """Return if the database answers from its tables. Raises UnavailableError."""
    try:
        with available(), connection.cursor() as cursor:
            cursor.execute("SELECT value FROM catalog_revision")
            cursor.fetchone()
    except DatabaseError as error:
        raise UnavailableError(f"the database cannot be read: {_first_line(error)}") from error


def migrate() -> None:
    """Bring the schema to this release; who comes second waits for who came first. Raises UnavailableError."""
    with available(), _alone():
        call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep others from changing the schema meanwhile, and one who was killed: the server may still be at his work."""
    if connection.vendor != "postgresql":  # SQLite has one writer anyhow, CockroachDB no such locks
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK])
        if not cursor.fetchone()[0]:
            log.warning("another process changes the schema of this database; waiting until it is done")
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def check_schema() -> None:
    """Return if every migration that this release cannot do without has been applied.

    Those of OPTIONAL bring what is off until then, and says so (ADR 0015); a newer schema is accepted: releases run
    side by side.

    Raises:
        SchemaOutdatedError: otherwise.
        UnavailableError: if the database does not answer.
    """
    try:
        with available():
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise UnavailableError(f"the database cannot be read: {_first_line(error)}") from error
    lacking = [(migration.app_label, migration.name) for migration, _backwards in plan]
    missing = ", ".join(" ".join(each) for each in lacking)
    if not OPTIONAL.issuperset(lacking):
        raise SchemaOutdatedError(f"the database lacks {missing}: run `distfile-mirror migrate`")
    if lacking:
        log.warning("what came last is off until `distfile-mirror migrate` was run", missing=missing)


def is_configured() -> bool:
    """Tell whether Django is set up in this process."""
    return bool(settings.configured and apps.ready)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
