"""Lists of files, newest first."""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Count, Q, QuerySet

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, of_project, of_state, paged
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import parse_file_uri, uri_key

Artifact = TypeVar("Artifact", File, Image)


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; empty means all. ``q``: a part of the URI or of the stored sha256; ``uri``: exactly this one."""

    q: str = ""
    state: str = ""
    project: str = ""
    uri: str = ""


def list_files(filters: Filters, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page[File]:
    """Return the page that begins at ``cursor``. Raises InvalidInputError, UnavailableError."""
    return paged(_filtered(filters).prefetch_related("uses__project"), cursor=cursor, limit=limit)


def get_file(file_id: int) -> File:
    """Return a file with its uses. Raises NotFoundError, UnavailableError."""
    with available():
        file = File.objects.prefetch_related("uses__project").filter(pk=file_id).first()
    if file is None:
        message = f"there is no file {file_id}"
        raise NotFoundError(message)
    return file


def count_by_state(kind: type[Artifact]) -> dict[State, int]:
    """Return how many files, or images, there are in each state. Raises UnavailableError."""
    with available():
        counted = dict(kind.objects.order_by().values_list("state").annotate(Count("pk")))
    return {state: counted.get(state.value, 0) for state in State}


def _filtered(filters: Filters) -> QuerySet[File]:
    rows = of_project(of_state(File.objects.all(), filters.state), filters.project)
    if filters.q:
        rows = rows.filter(Q(uri__icontains=filters.q) | Q(sha256__contains=filters.q.lower()))
    if filters.uri:
        try:
            rows = rows.filter(uri_key=uri_key(str(parse_file_uri(filters.uri))))
        except ValueError as error:
            raise InvalidInputError({"uri": [str(error)]}) from None
    return rows
