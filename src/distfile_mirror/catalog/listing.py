"""Lists of files, newest first, in pages by cursor: a page costs the same however far down it is."""

import base64
import binascii
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Use
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import parse_file_uri, uri_key

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; empty means all. ``q``: a part of the URI or of the stored sha256; ``uri``: exactly this one."""

    q: str = ""
    state: str = ""
    project: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of files. ``next_cursor`` is empty on the last one."""

    files: list[File]
    next_cursor: str


def list_files(filters: Filters, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page:
    """Return the page that begins at ``cursor``. Raises InvalidInputError, UnavailableError."""
    rows = _filtered(filters)
    if cursor:
        rows = rows.filter(pk__lt=_decode(cursor))
    with available():
        files = list(rows.order_by("-pk").prefetch_related("uses__project")[: limit + 1])
    more = len(files) > limit
    files = files[:limit]
    return Page(files, _encode(files[-1].pk) if more else "")


def get_file(file_id: int) -> File:
    """Return a file with its uses. Raises NotFoundError, UnavailableError."""
    with available():
        file = File.objects.prefetch_related("uses__project").filter(pk=file_id).first()
    if file is None:
        message = f"there is no file {file_id}"
        raise NotFoundError(message)
    return file


def count_by_state() -> dict[State, int]:
    """Return how many files there are in each state. Raises UnavailableError."""
    with available():
        counted = dict(File.objects.order_by().values_list("state").annotate(Count("pk")))
    return {state: counted.get(state.value, 0) for state in State}


def _filtered(filters: Filters) -> QuerySet[File]:
    rows = File.objects.all()
    if filters.q:
        rows = rows.filter(Q(uri__icontains=filters.q) | Q(sha256__contains=filters.q.lower()))
    if filters.state:
        if filters.state not in set(State):
            raise InvalidInputError({"state": [f"{filters.state!r} is not a state; known are {', '.join(State)}"]})
        rows = rows.filter(state=filters.state)
    if filters.project:
        rows = rows.filter(pk__in=Use.objects.filter(project__name=filters.project).values("file_id"))
    if filters.uri:
        try:
            rows = rows.filter(uri_key=uri_key(str(parse_file_uri(filters.uri))))
        except ValueError as error:
            raise InvalidInputError({"uri": [str(error)]}) from None
    return rows


def _encode(file_id: int) -> str:
    return base64.urlsafe_b64encode(str(file_id).encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        raise InvalidInputError({"cursor": ["this cursor is not one that a list gave"]}) from None
