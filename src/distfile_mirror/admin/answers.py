"""What the operations of the API have in common: which refusals each may answer, and what it takes."""

from collections.abc import Mapping
from typing import Any

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
    """Raise InvalidInputError for a parameter of the query that ``known`` has not, or that no text can have."""
    problems = {name: ["there is no such parameter"] for name in request.GET if name not in known.model_fields}
    problems |= {name: ["a NUL character is in no text here"] for name, text in request.GET.items() if "\0" in text}
    if problems:
        raise InvalidInputError(problems)


def document_of(media_type: str, kind: str = "string") -> dict[str, Any]:
    """Return what OpenAPI is told of an operation whose answer is a document of another type than JSON."""
    content: Mapping[str, Any] = {media_type: {"schema": {"type": kind}}}
    return {"responses": {200: {"content": content}}}
