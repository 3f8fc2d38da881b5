"""What PostgreSQL searches for a part of a URI (ADR 0022)."""

from django.db import connection, models

from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.table_presence import TablePresence


class FileUri(models.Model):
    """The URI of a file once more, with an index of its trigrams; the database itself adds a row for each file.

    The table is on PostgreSQL only, where migration 0004 has run.
    """

    file = models.OneToOneField(File, on_delete=models.DO_NOTHING, primary_key=True, related_name="+")
    uri = models.TextField()

    class Meta:
        app_label = "catalog"
        managed = False

    def __str__(self) -> str:
        return self.uri


_presence = TablePresence(FileUri, "0004_uris_apart")


def are_uris_apart() -> bool:
    """Tell whether FileUri is there. Raises UnavailableError."""
    return connection.vendor == "postgresql" and _presence.is_there()
