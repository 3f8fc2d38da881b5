"""Projects: what each uses, how much that is, and under which licences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count, Max

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import Hit, Project, Use
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
    marks = ", ".join(["%s"] * len(keys))
    # An artifact may have several uses in one project, and counts once.
    statement = f"""
        SELECT used.project_id, COUNT(used.file_id), COUNT(used.image_id),
               COALESCE(SUM(file.size), 0) + COALESCE(SUM(image.size), 0)
        FROM (SELECT DISTINCT project_id, file_id, image_id FROM catalog_use WHERE project_id IN ({marks})) used
        LEFT JOIN catalog_file file ON file.id = used.file_id
        LEFT JOIN catalog_image image ON image.id = used.image_id
        GROUP BY used.project_id
    """  # noqa: S608 - marks only
    with available(), connection.cursor() as cursor:
        cursor.execute(statement, keys)
        counted = {row[0]: row[1:] for row in cursor.fetchall()}
        unknown = dict(
            Use.objects.filter(project__in=keys, licence="").order_by().values_list("project").annotate(Count("pk"))
        )
    found = {}
    for key in keys:
        files, images, stored_bytes = counted.get(key, (0, 0, 0))
        found[key] = Holdings(files, images, stored_bytes, unknown.get(key, 0))
    return found


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
