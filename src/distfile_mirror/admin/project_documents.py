"""The shapes of the REST API for projects, and for what is reported of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.artifact_documents import (
    ArtifactDocument,
    ArtifactUseDocument,
    artifact_document,
    artifact_use_document,
)
from distfile_mirror.admin.documents import PageQuery
from distfile_mirror.admin.settings import current_context
from distfile_mirror.catalog.models import File, Hit, Image, Project, Use
from distfile_mirror.catalog.projects import Holdings
from distfile_mirror.catalog.reports import DEFAULT_UNUSED_DAYS
from distfile_mirror.catalog.seen import ArtifactKind

MAX_DAYS = 36_500


class ProjectListQuery(PageQuery):
    """Which projects."""

    q: str = Field("", description="Part of the name.")


class ProjectDocument(Schema):
    """A project, and how much it uses. What several of its artifacts share is counted for each."""

    id: int
    name: str
    files: int
    images: int
    stored_bytes: int
    unknown_licences: int = Field(description="Uses of which nobody knows the licence.")
    created_at: datetime
    url: str = Field(description="The page of this project.")


class LicenceCount(Schema):
    """How many uses there are under a licence."""

    licence: str = Field(description="SPDX expression; empty where nobody knows.")
    uses: int


class ProjectDetails(ProjectDocument):
    """A project with the licences of what it uses, the most frequent first."""

    licences: list[LicenceCount]


class ProjectList(Schema):
    """A page of projects, by name."""

    projects: list[ProjectDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class ServedUseDocument(ArtifactUseDocument):
    """A use, of what, and when builds got that last."""

    last_served_at: datetime | None = Field(description="To whomever; null for never.")


class ServedUseList(Schema):
    """A page of uses, newest first."""

    uses: list[ServedUseDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class UseList(Schema):
    """A page of uses, newest first."""

    uses: list[ArtifactUseDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class UnusedQuery(PageQuery):
    """What to report."""

    days: int = Field(DEFAULT_UNUSED_DAYS, ge=1, le=MAX_DAYS, description="Not asked for in so many days.")
    kind: ArtifactKind = ArtifactKind.FILE
    project: str = Field("", description="The exact name of a project that uses it.")


class ArtifactList(Schema):
    """A page of files or images, newest first."""

    artifacts: list[ArtifactDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class UndeclaredQuery(PageQuery):
    """What to report."""

    label: str = Field("", description="Served to builds with this label.")


class HitDocument(Schema):
    """What builds with a label got, and how often."""

    label: str
    artifact: ArtifactDocument
    count: int
    first_at: datetime
    last_at: datetime


class HitList(Schema):
    """A page of what builds got, the latest first."""

    hits: list[HitDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


def project_facts(project: Project, held: Holdings) -> Mapping[str, Any]:
    """Return what is known of ``project``."""
    return {
        "id": project.pk,
        "name": project.name,
        "files": held.files,
        "images": held.images,
        "stored_bytes": held.stored_bytes,
        "unknown_licences": held.unknown_licences,
        "created_at": project.created_at,
        "url": f"{current_context().admin_url}/projects/{project.pk}",
    }


def served_use_document(use: Use, served: Mapping[tuple[ArtifactKind, int], datetime]) -> ServedUseDocument:
    """Write ``use`` with when it was ``served`` last."""
    document = artifact_use_document(use)
    at = served.get((document.artifact.kind, document.artifact.id))
    return ServedUseDocument(**document.model_dump(), last_served_at=at)


def hit_documents(hits: Iterable[Hit], artifacts: Mapping[tuple[str, int], File | Image]) -> list[HitDocument]:
    """Write each of ``hits`` with its artifact."""
    return [
        HitDocument(
            label=hit.label,
            artifact=artifact_document(artifacts[hit.kind, hit.artifact_id]),
            count=hit.count,
            first_at=hit.first_at,
            last_at=hit.last_at,
        )
        for hit in hits
        if (hit.kind, hit.artifact_id) in artifacts
    ]
