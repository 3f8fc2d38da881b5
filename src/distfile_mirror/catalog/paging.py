"""Lists in pages by cursor: a page costs the same however far down it is.

A cursor holds what the last row shown is sorted by, and its key, so that rows that come meanwhile shift nothing.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet

from distfile_mirror.catalog.audit import kind_name
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Image, Use
from distfile_mirror.errors import InvalidInputError
from distfile_mirror.model.states import State

PAGE_SIZE = 50
NEWEST_FIRST = "-pk"

Row = TypeVar("Row", bound=models.Model)
Artifact = TypeVar("Artifact", File, Image)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page of a list. ``next_cursor`` is empty on the last one."""

    items: list[Row]
    next_cursor: str


def paged(rows: QuerySet[Row], *, cursor: str, limit: int, order: str = NEWEST_FIRST) -> Page[Row]:
    """Return the page of ``rows`` that begins at ``cursor``.

    ``order``: a field that is never null, with ``-`` for downwards.

    Raises:
        InvalidInputError: for a cursor that is not of this list and order.
        UnavailableError: if the database does not answer.
    """
    field, downwards = order.removeprefix("-"), order.startswith("-")
    if cursor:
        rows = rows.filter(_beyond(field, *position(cursor, order, rows.model), downwards=downwards))
    keys = [order] if field == "pk" else [order, "-pk" if downwards else "pk"]
    with available():
        items = list(rows.order_by(*keys)[: limit + 1])
    more = len(items) > limit
    items = items[:limit]
    return Page(items, _encode(items[-1], field, order) if more else "")


def of_state(rows: QuerySet[Artifact], state: str) -> QuerySet[Artifact]:
    """Return those of ``rows`` in ``state``; all if it is empty. Raises InvalidInputError for what is no state."""
    if not state:
        return rows
    if state not in set(State):
        raise InvalidInputError({"state": [f"{state!r} is not a state; known are {', '.join(State)}"]})
    return rows.filter(state=state)


def of_project(rows: QuerySet[Artifact], project: str) -> QuerySet[Artifact]:
    """Return those of ``rows`` that ``project`` uses; all if it is empty."""
    if not project:
        return rows
    uses = Use.objects.filter(project__name=project)
    return rows.filter(pk__in=uses.values(f"{kind_name(rows.model)}_id"))


def _beyond(field: str, value: Any, key: int, *, downwards: bool) -> Q:
    """Return the condition of what comes after the row with ``value`` and ``key``."""
    side = "lt" if downwards else "gt"
    if field == "pk":
        return Q(**{f"pk__{side}": key})
    # The first part says nothing new, and lets databases begin in the middle of an index.
    return Q(**{f"{field}__{side}e": value}) & (Q(**{f"{field}__{side}": value}) | Q(**{f"pk__{side}": key}))


def _encode(row: models.Model, field: str, order: str) -> str:
    text = json.dumps([order, _written(getattr(row, field)), row.pk])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def position(cursor: str, order: str, model: type[models.Model]) -> tuple[Any, int]:
    """Return the sort value and the key in ``cursor``. Raises InvalidInputError for one of another list or order."""
    field = order.removeprefix("-")
    try:
        of_order, given, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        found = int(key) if field == "pk" else _read(_column(model, field), given), int(key)
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError, ValidationError):
        of_order = found = None
    if found is None or of_order != order:
        raise InvalidInputError({"cursor": ["this cursor is not one that this list gave"]})
    return found


def _read(column: "models.Field[Any, Any]", given: Any) -> Any:
    """Return the value that was written as ``given``. Raises ValueError and more for what we never write."""
    value = column.to_python(given)
    is_naive = isinstance(value, datetime) and value.utcoffset() != timedelta(0)
    is_no_text = isinstance(value, str) and b"\0" in value.encode()  # of a lone surrogate: UnicodeEncodeError
    if value is None or is_naive or is_no_text or _written(value) != given:
        message = f"{given!r} was not written here"
        raise ValueError(message)
    return value


def _column(model: type[models.Model], field: str) -> "models.Field[Any, Any]":
    column: models.Field[Any, Any] = model._meta.get_field(field)  # type: ignore[assignment]  # noqa: SLF001 - documented
    return column
