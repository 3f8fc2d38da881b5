"""Whether the database has a table yet: components of two releases run side by side (ADR 0015)."""

import time

from django.db import DatabaseError, connection, models, transaction

from distfile_mirror.catalog.database import available

ASK_AGAIN_SECONDS = 30.0


class TablePresence:
    """Whether the table of ``model`` is there, and this process's role may read it; it asks until it is.

    ``migration`` is what makes and fills it.
    """

    def __init__(self, model: type[models.Model], migration: str) -> None:
        self._migration = migration
        self._table = model._meta.db_table  # noqa: SLF001 - documented
        self._is_there = False
        self._asked_at = float("-inf")

    def is_there(self) -> bool:
        """Tell whether it is, or was not up to half a minute ago. Raises UnavailableError."""
        if not self._is_there and time.monotonic() - self._asked_at >= ASK_AGAIN_SECONDS:
            with available():
                self._is_there = self._look()
            self._asked_at = time.monotonic()
        return self._is_there

    def _look(self) -> bool:
        try:
            with transaction.atomic(), connection.cursor() as cursor:  # of its own: a failure spoils it
                cursor.execute(f"SELECT 1 FROM {self._table} LIMIT 1")  # noqa: S608 - own name
                has_run = "SELECT 1 FROM django_migrations WHERE app = 'catalog' AND name = %s"
                cursor.execute(has_run, [self._migration])
                return cursor.fetchone() is not None
        except DatabaseError as error:
            if _is_missing(error):
                return False
            raise


def _is_missing(error: DatabaseError) -> bool:
    text = str(error)
    return "no such table" in text or "does not exist" in text or "permission denied" in text
