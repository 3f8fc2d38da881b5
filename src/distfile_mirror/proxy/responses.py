"""What of a stored file goes out: conditional requests, ranges, HEAD (RFC 9110, sections 13 and 14). Pure.

A stored file never changes, so its entity tag, the sha256 of its bytes, is a strong one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

REASONS = {
    200: "OK",
    206: "Partial Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    412: "Precondition Failed",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
CONDITIONS = frozenset({b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"})

_RANGE = re.compile(rb"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# More digits than any size has: a number that long is beyond every end.
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Representation:
    """What conditions are about. ``entity_tag`` with its quotes; ``last_modified`` in Unix time, or None."""

    size: int
    entity_tag: bytes
    last_modified: int | None = None


class Plan(NamedTuple):
    """A status, and which bytes of the file go out with it (``length`` 0: none)."""

    status: int
    first: int
    length: int


def plan_response(headers: Mapping[bytes, bytes], of: Representation) -> Plan:
    """Decide on a GET or HEAD of ``of``; ``headers`` by lower-case name (RFC 9110, 13.2.2)."""
    whole = Plan(200, 0, of.size)
    if CONDITIONS.isdisjoint(headers):
        return whole
    if not _precondition_holds(headers, of):
        return Plan(412, 0, 0)
    if _not_modified(headers, of):
        return Plan(304, 0, 0)
    wanted = headers.get(b"range")
    if wanted is None or not _range_applies(headers, of):
        return whole
    return _ranged(wanted, of.size) or whole


def parse_http_date(text: bytes) -> int | None:
    """Return the Unix time of an HTTP-date (RFC 9110, 5.6.7), or None if it is not one."""
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError):
        return None


def _precondition_holds(headers: Mapping[bytes, bytes], of: Representation) -> bool:
    if (tags := headers.get(b"if-match")) is not None:
        return _lists_tag(tags, of.entity_tag, weak=False)
    if (text := headers.get(b"if-unmodified-since")) is not None and of.last_modified is not None:
        date = parse_http_date(text)
        return date is None or of.last_modified <= date
    return True


def _not_modified(headers: Mapping[bytes, bytes], of: Representation) -> bool:
    if (tags := headers.get(b"if-none-match")) is not None:
        return _lists_tag(tags, of.entity_tag, weak=True)
    if (text := headers.get(b"if-modified-since")) is not None and of.last_modified is not None:
        date = parse_http_date(text)
        return date is not None and of.last_modified <= date
    return False


def _lists_tag(tags: bytes, tag: bytes, *, weak: bool) -> bool:
    if tags.strip() == b"*":
        return True
    return any(found == tag and (weak or not prefix) for prefix, found in _ENTITY_TAG.findall(tags))


def _range_applies(headers: Mapping[bytes, bytes], of: Representation) -> bool:
    condition = headers.get(b"if-range")
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith((b'"', b"W/")):
        return condition == of.entity_tag
    # A date must match exactly (RFC 9110, 13.1.5).
    return of.last_modified is not None and parse_http_date(condition) == of.last_modified


def _ranged(wanted: bytes, size: int) -> Plan | None:
    """Return the plan for one range; None for what is malformed or several ranges, which are ignored."""
    match = _RANGE.fullmatch(wanted)
    if not match or match[1] == match[2] == b"":
        return None
    if match[1] == b"":
        length = min(_number(match[2]), size)
        return Plan(206, size - length, length) if length else Plan(416, 0, 0)
    first = _number(match[1])
    last = _number(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    if first >= size:
        return Plan(416, 0, 0)
    return Plan(206, first, min(last, size - 1) - first + 1)


def _number(digits: bytes) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
