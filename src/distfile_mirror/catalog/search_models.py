"""Where URIs are once more, to be searched: on PostgreSQL (ADR 0022) and on SQLite (ADR 0023)."""

from django.db import connection, models

from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.table_presence import TablePresence


class FileUri(models.Model):
    """The URI of a file once more, with an index of its trigrams; the database itself adds a row for each file.

    The table is where migration 0004 (PostgreSQL) or 0006 (SQLite) has made it.
    """

    file = models.OneToOneField(File, on_delete=models.DO_NOTHING, primary_key=True, related_name="+")
    uri = models.TextField()

    class Meta:
        app_label = "catalog"
        managed = False

    def __str__(self) -> str:
        return self.uri


_presences = {
    "postgresql": TablePresence(FileUri, "0004_uris_apart"),
    "sqlite": TablePresence(FileUri, "0006_trigrams_on_sqlite"),
}


def are_uris_apart() -> bool:
    """Tell whether FileUri is there, filled. Raises UnavailableError."""
    presence = _presences.get(connection.vendor)
    return presence is not None and presence.is_there()


def have_trigrams() -> bool:
    """Tell whether this is SQLite, and catalog_fileuri_trigrams is there, too. Raises UnavailableError."""
    return connection.vendor == "sqlite" and are_uris_apart()
