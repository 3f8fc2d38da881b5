"""By which request a person last changed an artifact: it leads from a line in the log to those of other components."""

import structlog
from django.db import models

from distfile_mirror.catalog.bulk import add_up_rows
from distfile_mirror.catalog.table_presence import TablePresence


class LastRequest(models.Model):
    """``request_id`` is what the log has, and the answer's X-Request-Id. ``kind`` and ``artifact_id`` as in Hit."""

    kind = models.TextField()
    artifact_id = models.BigIntegerField()
    request_id = models.TextField()

    class Meta:
        app_label = "catalog"
        constraints = (models.UniqueConstraint(fields=["kind", "artifact_id"], name="last_request_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.artifact_id}: {self.request_id}"


_presence = TablePresence(LastRequest, "0005_last_requests")


def note_request(kind: str, artifact_id: int) -> None:
    """Note that the request which is under way, if one is, changes an artifact. Inside a transaction."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id and _presence.is_there():
        row = {"kind": kind, "artifact_id": artifact_id, "request_id": str(request_id)}
        add_up_rows(LastRequest, [row], unique=["kind", "artifact_id"], added=[], latest=["request_id"])


def last_requests(kind: str, artifact_ids: list[int]) -> dict[int, str]:
    """Return the request that last changed each of the artifacts, if one is known."""
    if not artifact_ids or not _presence.is_there():
        return {}
    rows = LastRequest.objects.filter(kind=kind, artifact_id__in=artifact_ids)
    return dict(rows.values_list("artifact_id", "request_id"))
