from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.upstream.retry_after import parse_retry_after

NOW = datetime(2024, 1, 1, 0, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Mon, 01 Jan 2024 00:01:30 GMT", 90),
        ("Monday, 01-Jan-24 00:01:30 GMT", 90),
        ("Sun, 31 Dec 2023 00:00:00 GMT", 0),
        ("99999999999999999999", 10**10),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_values(value, seconds):
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text())
def test_never_raises_and_never_is_negative(text):
    seconds = parse_retry_after(text, now=NOW)
    assert seconds is None or seconds >= 0
