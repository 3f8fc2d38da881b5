"""Times that people write into addresses and forms."""

from collections.abc import Mapping
from datetime import UTC, datetime, time

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from distfile_mirror.errors import InvalidInputError


def time_of(given: Mapping[str, str], name: str) -> datetime | None:
    """Read a day or a moment, UTC unless it says otherwise; None if there is none.

    Raises:
        InvalidInputError: for what is neither.
    """
    text = given.get(name, "").strip()
    if not text:
        return None
    try:
        day = parse_date(text)
        found = datetime.combine(day, time()) if day else parse_datetime(text)
        found = found and (found if found.tzinfo else timezone.make_aware(found)).astimezone(UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise InvalidInputError({name: [f"{text!r} is not a time; write it as 2026-01-31 or 2026-01-31T14:00Z"]})
    return found
