"""Tables as CSV (RFC 4180), row by row, whatever their length, and harmless in a spreadsheet."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.http import StreamingHttpResponse

# What a spreadsheet takes for a formula at the beginning of a cell.
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


def csv_response(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Answer with a table called ``name``, without the file's extension; times are UTC in ISO 8601."""
    response = StreamingHttpResponse(csv_lines(columns, rows), content_type="text/csv; charset=utf-8")
    safe = "".join(character if character.isascii() and character.isalnum() else "-" for character in name)
    response["Content-Disposition"] = f'attachment; filename="{safe or "table"}.csv"'
    return response


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_BEGINS) and not isinstance(value, int) else text


class _Echo:
    """A file that gives back what is written."""

    def write(self, text: str) -> str:
        return text
