"""What the operations of the API have in common: which refusals each may answer, and what it takes."""

from collections.abc import Iterable

from django.http import HttpRequest
from ninja import Schema

from distfile_mirror.errors import InvalidInputError

# Anywhere: a body that is no JSON, nobody known, no right or a page elsewhere that asks, no database.
READING = frozenset({400, 401, 403, 422, 500, 503})
BY_ID = READING | {404}
# Also a body too large or of another type.
CHANGING = BY_ID | {409, 413, 415}
DECLARING = CHANGING - {404}


def refuse_unknown_parameters(request: HttpRequest, known: type[Schema]) -> None:
    """Raise InvalidInputError for a parameter of the query that ``known`` has not."""
    unknown = _unknown(request.GET, known.model_fields)
    if unknown:
        raise InvalidInputError(unknown)


def _unknown(given: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    names = set(known)
    return {name: ["there is no such parameter"] for name in given if name not in names}
