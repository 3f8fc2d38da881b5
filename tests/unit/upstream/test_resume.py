import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from distfile_mirror.upstream.resume import Partial, Step, decide, request_headers, strong_validator, total_bytes
from distfile_mirror.upstream.settings import Head

EARLIER = "Mon, 01 Jan 2024 00:00:00 GMT"
LATER = "Mon, 01 Jan 2024 00:01:00 GMT"


def head(status=200, **headers):
    return Head(status, "", CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), "")


PARTIAL = Partial(head(ETag='"a"', Content_Length="100"), 40)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": EARLIER, "Date": LATER}, None),
        ({"Last-Modified": EARLIER, "Date": LATER}, EARLIER),
        ({"Last-Modified": LATER, "Date": LATER}, None),
        ({"Last-Modified": EARLIER}, None),
        ({}, None),
    ],
)
def test_strong_validator(headers, validator):
    assert strong_validator(CIMultiDict(headers)) == validator


def test_request():
    assert request_headers(PARTIAL) == {"Range": "bytes=40-", "If-Range": '"a"'}
    assert request_headers(Partial(head(), 40)) == {}
    assert request_headers(None) == {}


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        (head(206, Content_Range="bytes 40-99/100", ETag='"a"'), Step.CONTINUE),
        (head(206, Content_Range="bytes 40-99/*"), Step.CONTINUE),
        (head(206, Content_Range="bytes 40-98/99"), Step.ASK_AGAIN),
        (head(206, Content_Range="bytes 0-99/100"), Step.ASK_AGAIN),
        (head(206, Content_Range="bytes 40-99/100", ETag='"b"'), Step.ASK_AGAIN),
        (head(206, Content_Range="bytes 40-99/100", Content_Encoding="gzip"), Step.ASK_AGAIN),
        (head(206, Content_Type="multipart/byteranges; boundary=x"), Step.ASK_AGAIN),
        (head(416), Step.ASK_AGAIN),
        (head(200), Step.START),
        (head(404), Step.START),
    ],
)
def test_decide(answer, step):
    assert decide(PARTIAL, answer) is step


def test_unasked_206_is_judged_like_any_answer():
    assert decide(None, head(206)) is Step.START


@given(st.text())
def test_content_range_never_raises(text):
    total_bytes(head(206, Content_Range=text))
    assert decide(PARTIAL, head(206, Content_Range=text)) in {Step.ASK_AGAIN, Step.CONTINUE}


def test_total():
    assert total_bytes(head(Content_Length="7")) == 7
    assert total_bytes(head(206, Content_Range="bytes 1-2/9", Content_Length="2")) == 9
    assert total_bytes(head(Content_Length="٣")) is None
