"""Projects: what each uses, how much that is, and under which licences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count, Max

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Hit, Image, Project, Use
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, paged
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.errors import NotFoundError

ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a project uses. ``stored_bytes`` of what is stored; ``unknown_licences``: uses without a licence."""

    files: int = 0
    images: int = 0
    stored_bytes: int = 0
    unknown_licences: int = 0


def list_projects(*, q: str = "", cursor: str = "", limit: int = PAGE_SIZE) -> Page[Project]:
    """Return a page of projects by name. Raises InvalidInputError, UnavailableError."""
    rows = Project.objects.all()
    if q:
        rows = rows.filter(name__icontains=q)
    return paged(rows, cursor=cursor, limit=limit, order="name")


def get_project(project_id: int) -> Project:
    """Return a project. Raises NotFoundError, UnavailableError."""
    with available():
        project = Project.objects.filter(pk=project_id).first()
    if project is None:
        message = f"there is no project {project_id}"
        raise NotFoundError(message)
    return project


def holdings(projects: Iterable[Project]) -> dict[int, Holdings]:
    """Return what each of ``projects`` uses, by its key; an artifact counts once a project. Raises UnavailableError."""
    keys = [project.pk for project in projects]
    if not keys:
        return {}
    with available():
        files = _counted(keys, "file", File)
        images = _counted(keys, "image", Image)
        unknown = dict(
            Use.objects.filter(project__in=keys, licence="").order_by().values_list("project").annotate(Count("pk"))
        )
    found = {}
    for key in keys:
        (file_count, file_bytes), (image_count, image_bytes) = files.get(key, (0, 0)), images.get(key, (0, 0))
        found[key] = Holdings(file_count, image_count, file_bytes + image_bytes, unknown.get(key, 0))
    return found


def _counted(projects: Sequence[int], column: str, kind: type[File | Image]) -> dict[int, tuple[int, int]]:
    """Return how many artifacts of a ``kind`` each project uses, and their bytes; several uses of one count once."""
    marks = ", ".join(["%s"] * len(projects))
    statement = f"""
        SELECT used.project_id, COUNT(*), COALESCE(SUM(artifact.size), 0)
        FROM (SELECT DISTINCT project_id, {column}_id FROM catalog_use
              WHERE project_id IN ({marks}) AND {column}_id IS NOT NULL) used
        JOIN {kind._meta.db_table} artifact ON artifact.id = used.{column}_id
        GROUP BY used.project_id
    """  # noqa: S608, SLF001 - names of our own, and marks
    with connection.cursor() as cursor:
        cursor.execute(statement, projects)
        return {project: (count, int(size)) for project, count, size in cursor.fetchall()}


def uses_of_project(project_id: int, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page[Use]:
    """Return a page of the uses of a project with their artifacts, newest first. Raises as list_projects."""
    rows = Use.objects.filter(project_id=project_id).select_related("file", "image__repository__registry", "project")
    return paged(rows, cursor=cursor, limit=limit)


def all_uses(project_id: int) -> Iterator[Use]:
    """Yield all uses of a project with their artifacts, oldest first, in batches. Raises UnavailableError."""
    rows = Use.objects.filter(project_id=project_id).select_related("file", "image__repository__registry", "project")
    with available():
        yield from rows.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE)


def licences_of_project(project_id: int) -> list[tuple[str, int]]:
    """Return the licences of a project's uses, and how many of each, the most first. Raises UnavailableError."""
    with available():
        rows = Use.objects.filter(project_id=project_id).order_by().values_list("licence").annotate(count=Count("pk"))
        return list(rows.order_by("-count", "licence"))


def last_served(uses: Sequence[Use], *, label: str = "") -> dict[tuple[ArtifactKind, int], datetime]:
    """Return when the artifacts of ``uses`` were served last, if so to ``label``. Raises UnavailableError."""
    found: dict[tuple[ArtifactKind, int], datetime] = {}
    for kind in ArtifactKind:
        keys = {key for use in uses if (key := use.file_id if kind is ArtifactKind.FILE else use.image_id) is not None}
        rows = Hit.objects.filter(kind=kind.value, artifact_id__in=keys)
        if label:
            rows = rows.filter(label=label)
        with available():
            for key, moment in rows.order_by().values_list("artifact_id").annotate(Max("last_at")):
                found[kind, key] = moment
    return found
