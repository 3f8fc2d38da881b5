"""Lists of files: searched, filtered, sorted."""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Count, Q, QuerySet

from distfile_mirror.catalog.care_listing import with_verdict
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Image, Use
from distfile_mirror.catalog.paging import NEWEST_FIRST, PAGE_SIZE, Page, of_project, of_state, paged, position
from distfile_mirror.catalog.search import containing
from distfile_mirror.catalog.search_models import have_trigrams
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import parse_file_uri, uri_key

Artifact = TypeVar("Artifact", File, Image)

DEFAULT_ORDER = "newest"
ORDERS = {
    DEFAULT_ORDER: NEWEST_FIRST,
    "oldest": "pk",
    "fetched": "-fetched_at",
    "largest": "-size",
    "smallest": "size",
}
UNKNOWN = "unknown"
RECENT_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; empty means all. ``q``: a part of the URI or of the stored sha256; ``uri``: exactly this one.

    ``host``, ``project``, ``licence`` and ``declared_by`` are whole values; ``licence`` "unknown": a use without one.
    ``upstream``: a verdict of model.drift.DRIFTED.
    """

    q: str = ""
    state: str = ""
    host: str = ""
    project: str = ""
    licence: str = ""
    declared_by: str = ""
    uri: str = ""
    upstream: str = ""


def list_files(filters: Filters, *, order: str = DEFAULT_ORDER, cursor: str = "", limit: int = PAGE_SIZE) -> Page[File]:
    """Return the page that begins at ``cursor``, in one of ORDERS. Raises InvalidInputError, UnavailableError."""
    if order not in ORDERS:
        raise InvalidInputError({"order": [f"{order!r} is no order; known are {', '.join(ORDERS)}"]})
    if filters.q and order == DEFAULT_ORDER and not have_trigrams():
        # What many files contain is found among the newest few, without reading an index from end to end.
        page = paged(_recent(_filtered(filters, Q(uri__icontains=filters.q)), cursor), cursor=cursor, limit=limit)
        if page.next_cursor:
            return page
    field, rows = ORDERS[order], _filtered(filters, containing(filters.q) if filters.q else Q())
    rows = rows.prefetch_related("uses__project")
    name = field.removeprefix("-")
    if name != "pk":  # what is not stored has none
        rows = rows.filter(**{f"{name}__isnull": False})
    return paged(rows, cursor=cursor, limit=limit, order=field)


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


def _filtered(filters: Filters, condition: Q) -> QuerySet[File]:
    rows = of_project(of_state(File.objects.all(), filters.state), filters.project)
    rows = with_verdict(rows.filter(condition), filters.upstream)
    if filters.host:
        rows = rows.filter(host=filters.host.lower())
    if filters.licence or filters.declared_by:
        rows = rows.filter(pk__in=_uses(filters).values("file_id"))
    if filters.uri:
        try:
            rows = rows.filter(uri_key=uri_key(str(parse_file_uri(filters.uri))))
        except ValueError as error:
            raise InvalidInputError({"uri": [str(error)]}) from None
    return rows


def _recent(rows: QuerySet[File], cursor: str) -> QuerySet[File]:
    """Return those of ``rows`` that are among the newest before ``cursor``."""
    with available():
        newest = File.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    last = position(cursor, NEWEST_FIRST, File)[1] if cursor else newest
    return rows.filter(pk__gt=last - RECENT_ROWS).prefetch_related("uses__project")


def _uses(filters: Filters) -> QuerySet[Use]:
    rows = Use.objects.filter(file__isnull=False)
    if filters.licence:
        rows = rows.filter(licence="" if filters.licence == UNKNOWN else filters.licence)
    if filters.declared_by:
        rows = rows.filter(declared_by=filters.declared_by)
    return rows
