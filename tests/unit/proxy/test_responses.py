"""Conditional requests and ranges: the cases of RFC 9110, and properties over anything."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.proxy.responses import Plan, Representation, parse_http_date, plan_response

TAG = b'"abc"'
MODIFIED = 1_700_000_000
FILE = Representation(100, TAG, MODIFIED)
WHOLE = Plan(200, 0, 100)


def date(seconds):
    return formatdate(seconds, usegmt=True).encode()


def plan(of=FILE, **headers):
    return plan_response({name.replace("_", "-").encode(): value for name, value in headers.items()}, of)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (b"bytes=0-", Plan(206, 0, 100)),
        (b"bytes=0-0", Plan(206, 0, 1)),
        (b"bytes=10-19", Plan(206, 10, 10)),
        (b"bytes=90-1000", Plan(206, 90, 10)),
        (b"bytes=99-99", Plan(206, 99, 1)),
        (b"bytes=-1", Plan(206, 99, 1)),
        (b"bytes=-1000", Plan(206, 0, 100)),
        (b"BYTES = 5 - 6", Plan(206, 5, 2)),
        (b"bytes=100-", Plan(416, 0, 0)),
        (b"bytes=" + b"9" * 60 + b"-", Plan(416, 0, 0)),
        (b"bytes=-0", Plan(416, 0, 0)),
        # Malformed, another unit, or several: as if it were not there.
        (b"bytes=", WHOLE),
        (b"bytes=-", WHOLE),
        (b"bytes=9-3", WHOLE),
        (b"bytes=a-b", WHOLE),
        (b"lines=1-2", WHOLE),
        (b"bytes=0-1,5-6", WHOLE),
        (b"bytes=0-1, bytes=5-6", WHOLE),
    ],
)
def test_ranges(wanted, expected):
    assert plan(range=wanted) == expected


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (TAG, True),
        (b" " + TAG, True),
        (b'"other"', False),
        (b"W/" + TAG, False),
        (date(MODIFIED), True),
        (date(MODIFIED + 1), False),
        (date(MODIFIED - 1), False),
        (b"nonsense", False),
    ],
)
def test_if_range(condition, applies):
    assert plan(range=b"bytes=50-", if_range=condition) == (Plan(206, 50, 50) if applies else WHOLE)


@pytest.mark.parametrize("tags", [TAG, b"W/" + TAG, b'"x", ' + TAG, b"*", b'"x",W/"abc"'])
def test_if_none_match_that_matches(tags):
    assert plan(if_none_match=tags).status == 304
    assert plan(if_none_match=tags, range=b"bytes=0-1").status == 304


@pytest.mark.parametrize("tags", [b'"x"', b"abc", b'"ab', b"", b'"x", "y"'])
def test_if_none_match_that_does_not(tags):
    assert plan(if_none_match=tags, if_modified_since=date(MODIFIED)) == WHOLE


def test_if_modified_since():
    assert plan(if_modified_since=date(MODIFIED)).status == 304
    assert plan(if_modified_since=date(MODIFIED + 9)).status == 304
    assert plan(if_modified_since=date(MODIFIED - 9)) == WHOLE
    assert plan(if_modified_since=b"yesterday") == WHOLE
    assert plan(Representation(100, TAG), if_modified_since=date(MODIFIED)) == WHOLE


def test_if_match_and_if_unmodified_since():
    assert plan(if_match=TAG) == WHOLE
    assert plan(if_match=b"*") == WHOLE
    assert plan(if_match=b"W/" + TAG).status == 412
    assert plan(if_match=b'"x"', if_none_match=TAG).status == 412
    assert plan(if_unmodified_since=date(MODIFIED)) == WHOLE
    assert plan(if_unmodified_since=date(MODIFIED - 1)).status == 412
    assert plan(if_unmodified_since=b"?") == WHOLE


def test_dates():
    assert parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777
    assert parse_http_date(b"Sunday, 06-Nov-94 08:49:37 GMT") == 784_111_777
    assert parse_http_date(b"") is None
    assert parse_http_date(b"\xff\xfe") is None


NAMES = [b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"]
VALUES = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda a, b: b"bytes=%d-%d" % (a, b), st.integers(0, 300), st.integers(0, 300)),
    st.builds(lambda a: b"bytes=-%d" % a, st.integers(0, 300)),
    st.integers(0, 2**33).map(date),
    st.sampled_from([TAG, b"*", b"W/" + TAG]),
)


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), VALUES),
    size=st.integers(0, 250),
    modified=st.none() | st.integers(0, 2**33),
)
def test_whatever_is_asked_only_bytes_of_the_file_go_out(headers, size, modified):
    status, first, length = plan_response(headers, Representation(size, TAG, modified))
    assert 0 <= first <= first + length <= size
    if status == 200:
        assert (first, length) == (0, size)
    elif status == 206:
        assert length > 0
        assert b"range" in headers
    else:
        assert status in {304, 412, 416}
        assert length == 0


@given(first=st.integers(0, 10_000), last=st.integers(0, 10_000), size=st.integers(1, 10_000))
def test_a_satisfiable_range_is_what_a_slice_is(first, last, size):
    status, start, length = plan_response({b"range": b"bytes=%d-%d" % (first, last)}, Representation(size, TAG))
    content = range(size)
    if last < first:
        assert status == 200
    elif first >= size:
        assert status == 416
    else:
        assert content[start : start + length] == content[first : last + 1]
