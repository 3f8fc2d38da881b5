"""Going on after a cut: what to ask, and whether the answer continues the same file (RFC 9110, 13.1.5, 14.2, 15.3.7).

Bytes of two versions must never be mixed, so a download goes on only with a strong validator;
whatever is in doubt begins anew at zero. What is addressed by its digest has no versions: it goes
on without one, since the hosts that a registry redirects to have validators each of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from distfile_mirror.upstream.retry_after import parse_http_date
from distfile_mirror.upstream.settings import Head

PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416
_CONTENT_RANGE = re.compile(r"bytes +([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


@dataclass(frozen=True, slots=True)
class Partial:
    """What there is of a file: its first ``received`` bytes, and the head of the answer that began it.

    ``by_digest``: it was asked for by its digest, which will be compared.
    """

    head: Head
    received: int
    by_digest: bool = False


class Step(Enum):
    """What an answer means for the bytes there are."""

    START = auto()  # it is the whole file from its beginning (or an error): judge it as a first answer
    CONTINUE = auto()  # it goes on exactly where the bytes end
    ASK_AGAIN = auto()  # it fits no more: forget the bytes and ask for the whole


def request_headers(partial: Partial | None) -> dict[str, str]:
    """Return the header fields that ask for the rest of ``partial``, none if the whole is to be asked for."""
    if partial is None or not partial.received:
        return {}
    if partial.by_digest:
        return {"Range": f"bytes={partial.received}-"}
    validator = strong_validator(partial.head.headers)
    return {"Range": f"bytes={partial.received}-", "If-Range": validator} if validator else {}


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """Return the ETag if it is strong, else Last-Modified if it is (RFC 9110, 8.8.1 and 8.8.2.2), else None."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if etag.startswith('"') else None
    modified = parse_http_date(headers.get("Last-Modified", ""))
    answered = parse_http_date(headers.get("Date", ""))
    # A file that changed within the second of the answer may have changed twice in it.
    if modified and answered and modified < answered:
        return headers["Last-Modified"]
    return None


def decide(partial: Partial | None, head: Head) -> Step:
    """Decide what ``head`` means; ``partial`` is what request_headers asked to be continued, None if nothing."""
    if partial is None or head.status not in {PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE}:
        return Step.START
    if head.status == PARTIAL_CONTENT and _continues(partial, head):
        return Step.CONTINUE
    return Step.ASK_AGAIN


def total_bytes(head: Head) -> int | None:
    """Return the size of the whole file as ``head`` has it, or None."""
    if head.status != PARTIAL_CONTENT:
        return head.content_length
    span = _CONTENT_RANGE.fullmatch(head.headers.get("Content-Range", "").strip())
    return int(span[3]) if span and span[3] != "*" else None


def _continues(partial: Partial, head: Head) -> bool:
    span = _CONTENT_RANGE.fullmatch(head.headers.get("Content-Range", "").strip())
    if not span or int(span[1]) != partial.received or int(span[2]) < int(span[1]):
        return False
    totals = {total_bytes(partial.head), total_bytes(head)} - {None}
    before, now = partial.head.headers.get("ETag"), head.headers.get("ETag")
    same_coding = partial.head.headers.get("Content-Encoding") == head.headers.get("Content-Encoding")
    same_version = partial.by_digest or now is None or now == before
    return len(totals) <= 1 and same_version and same_coding
