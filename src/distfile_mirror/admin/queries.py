"""What only pages and metrics ask of the catalog."""

from dataclasses import dataclass

from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, File, Image, Project

MAX_SUGGESTED_PROJECTS = 500
MAX_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is due in the downloaders' queue: rows, and for how long the oldest has been, in seconds."""

    rows: int
    oldest_seconds: float


def backlog(kind: type[File | Image]) -> Backlog:
    """Measure the queue. Raises UnavailableError."""
    now = timezone.now()
    with available():
        due = kind.objects.filter(due_at__lte=now).order_by("due_at")
        oldest = due.values_list("due_at", flat=True).first()
        rows = due.count()
    return Backlog(rows, (now - oldest).total_seconds() if oldest else 0.0)


def project_names() -> list[str]:
    """Return the projects to offer in a form, by name. Raises UnavailableError."""
    with available():
        return list(Project.objects.order_by("name").values_list("name", flat=True)[:MAX_SUGGESTED_PROJECTS])


def history(kind: type[File | Image], artifact_id: int) -> list[AuditEvent]:
    """Return the latest changes to an artifact, newest first. Raises UnavailableError."""
    with available():
        events = AuditEvent.objects.filter(subject_kind=audit.kind_name(kind), subject_id=artifact_id)
        return list(events.order_by("-pk")[:MAX_EVENTS])
