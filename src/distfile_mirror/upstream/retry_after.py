"""Retry-After: how long an upstream asks to be left alone (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_NUMBER = 10


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds to wait, never negative; None if there is no such field or it cannot be read."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:_LONGEST_NUMBER]) if len(text) <= _LONGEST_NUMBER else float(10**_LONGEST_NUMBER)
    moment = parse_http_date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def parse_http_date(text: str) -> datetime | None:
    """Read an HTTP-date (RFC 9110, 5.6.7) as UTC; None if it is not one."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
