"""What leaves the catalog in one piece: a project's artifacts, and the audit log."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse

from distfile_mirror.admin.sbom import cyclonedx
from distfile_mirror.admin.tables import csv_response
from distfile_mirror.catalog.audit_log import EventFilters, all_events
from distfile_mirror.catalog.models import File, Project, Use
from distfile_mirror.catalog.projects import all_uses, last_served
from distfile_mirror.catalog.seen import ArtifactKind

CYCLONEDX_TYPE = "application/vnd.cyclonedx+json; version=1.6"
BATCH = 500

USE_COLUMNS = (
    "kind",
    "name",
    "state",
    "digest",
    "size",
    "licence",
    "reason",
    "project",
    "declared_by",
    "declared_at",
    "last_served_at",
)
EVENT_COLUMNS = ("at", "actor", "action", "kind", "id", "subject", "before", "after")


def project_csv(project: Project) -> StreamingHttpResponse:
    """Answer with a line for each use of ``project``."""
    return csv_response(f"{project.name} artifacts", USE_COLUMNS, _use_rows(all_uses(project.pk)))


def project_sbom(project: Project) -> HttpResponse:
    """Answer with a CycloneDX document of what ``project`` uses."""
    response = HttpResponse(cyclonedx(project.name, all_uses(project.pk)), content_type=CYCLONEDX_TYPE)
    response["Content-Disposition"] = f'attachment; filename="project-{project.pk}.cdx.json"'
    return response


def audit_csv(filters: EventFilters) -> StreamingHttpResponse:
    """Answer with a line for each change that ``filters`` let through."""
    rows = (
        (each.at, each.actor, each.action, each.subject_kind, each.subject_id, each.subject, each.before, each.after)
        for each in all_events(filters)
    )
    return csv_response("audit", EVENT_COLUMNS, rows)


def _use_rows(uses: Iterable[Use]) -> Iterator[tuple[Any, ...]]:
    for batch in _batches(uses):
        served = last_served(batch)
        for use in batch:
            artifact = use.file or use.image
            if artifact is None:
                continue
            is_file = isinstance(artifact, File)
            kind = ArtifactKind.FILE if is_file else ArtifactKind.IMAGE
            digest = (
                (artifact.sha256 and f"sha256:{artifact.sha256}") if isinstance(artifact, File) else artifact.digest
            )
            yield (
                *(kind.value, str(artifact), artifact.state, digest, artifact.size, use.licence, use.reason),
                *(use.project.name, use.declared_by, use.declared_at, served.get((kind, artifact.pk))),
            )


def _batches(uses: Iterable[Use]) -> Iterator[list[Use]]:
    batch: list[Use] = []
    for use in uses:
        batch.append(use)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
