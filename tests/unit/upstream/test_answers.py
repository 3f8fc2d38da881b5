"""Answers as bytes, however they are split on the way."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distfile_mirror.upstream.answers import ENDLESS, MAX_HEAD_BYTES, Answer, NotHttpError

BODY = bytes(range(256)) * 5


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def chunked(*chunks, trailers=b""):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head("Transfer-Encoding: chunked") + framed + b"0\r\n" + trailers + b"\r\n"


ANNOUNCED = head(f"Content-Length: {len(BODY)}") + BODY
INTERIM = head(status="100 Continue") + head("Link: </x>; rel=preload", status="103 Early Hints")


def read(data, cuts=()):
    """Feed ``data``, cut at these places, as an exchange does: what is verbatim is not fed."""
    answer, content = Answer(), b""
    places = [0, *sorted(cuts), len(data)]
    for begin, end in pairwise(places):
        piece = data[begin:end]
        if count := min(answer.verbatim, len(piece)):
            content += piece[:count]
            answer.advance(count)
            piece = piece[count:]
        if piece and not answer.is_complete:
            answer.feed(piece)
            content += answer.take()
    return answer, content


@pytest.mark.parametrize(
    ("data", "status", "content"),
    [
        (ANNOUNCED, 200, BODY),
        (INTERIM + ANNOUNCED, 200, BODY),
        (head("Content-Length: 0"), 200, b""),
        (head(status="204 No Content"), 204, b""),
        (head("ETag: x", status="304 Not Modified"), 304, b""),
        (chunked(b"the ", b"bytes"), 200, b"the bytes"),
        (chunked(BODY, trailers=b"Digest: x\r\nOther: y\r\n"), 200, BODY),
        (chunked(), 200, b""),
        (head("Transfer-Encoding: chunked") + b"3;name=value\r\nabc\r\n000\r\n\r\n", 200, b"abc"),
    ],
)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_split_gives_the_same(data, status, content, draw):
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=20))
    for places in (cuts, range(len(data))):
        answer, found = read(data, places)
        assert (answer.status, found) == (status, content)
        assert answer.is_complete
        assert answer.is_reusable


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_answer_or_an_error(data, cuts):
    for beginning in (b"", b"HTTP/1.1 200 OK\r\n", head("Transfer-Encoding: chunked")):
        try:
            answer, content = read(beginning + data, [cut for cut in cuts if cut <= len(data)])
        except NotHttpError:
            continue
        assert len(content) <= len(data)
        assert answer.has_head or not answer.is_complete


def test_fields():
    data = head(
        "Content-Type: a/b", "X-Empty:", "x-empty-too: ", "Set: one", "set: two", "Name: Jos\xe9", "Content-Length: 0"
    )
    answer, _ = read(data)
    assert answer.headers["content-TYPE"] == "a/b"
    assert answer.headers["X-Empty"] == ""
    assert answer.headers.getall("SET") == ["one", "two"]
    assert answer.headers["Name"].encode("utf-8", "surrogateescape") == b"Jos\xe9"
    assert answer.reason == "OK"


def test_body_that_ends_with_the_connection():
    answer, content = read(head() + b"some")
    assert content == b"some"
    assert answer.verbatim == ENDLESS
    answer.advance(10)
    assert not answer.is_complete
    answer.end()
    assert answer.is_complete
    assert not answer.is_reusable


@pytest.mark.parametrize("data", [head("Content-Length: 10") + b"cut", chunked(b"the bytes")[:-8], head()[:-2]])
def test_end_before_the_end(data):
    answer, _ = read(data)
    answer.end()
    assert not answer.is_complete


@pytest.mark.parametrize(
    "more", [b"garbage", head("Content-Length: 3") + b"abc", b"\0", b"\r\n\r\nHTTP/1.1 200 OK\r\n"]
)
@pytest.mark.parametrize("data", [ANNOUNCED, chunked(BODY)])
def test_what_follows_the_end_spoils_the_connection_and_nothing_else(data, more):
    answer = Answer()
    answer.feed(data + more)
    assert answer.take() == BODY
    assert answer.is_complete
    assert not answer.is_reusable
    assert answer.status == 200


@pytest.mark.parametrize(
    "data",
    [
        head("Connection: close", "Content-Length: 3") + b"abc",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_connection_that_is_not_kept(data):
    answer, content = read(data)
    assert content == b"abc"
    assert answer.is_complete
    assert not answer.is_reusable


@pytest.mark.parametrize(
    "data",
    [
        b"220 ftp ready\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2 OK\r\n\r\n",
        head("Content-Length: 3", "Content-Length: 4") + b"abc",
        head("Content-Length: -3") + b"abc",
        head("Content-Length: 99999999999999999999999") + b"abc",
        head("Content-Length: 3", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"3 \r\nabc\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"3\nabc\n0\n\n",
        head("Transfer-Encoding: chunked") + b"3\r\nabcd\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"-3\r\nabc\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"fffffffffffffffff\r\nabc",
        head("Name : value", "Content-Length: 0"),
        head("Name: one\r\n two", "Content-Length: 0"),
        head("Na\0me: one", "Content-Length: 0"),
        head("Upgrade: websocket", "Connection: upgrade", status="101 Switching Protocols") + b"abc",
    ],
)
def test_what_is_odd_is_refused(data):
    with pytest.raises(NotHttpError):
        read(data)


@pytest.mark.parametrize(
    ("beginning", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"Name: value\r\n"),
        (b"HTTP/1.1 200 OK\r\nName: ", b"x" * 100),
        (b"HTTP/1.1 200 ", b"x" * 100),
        (b"", head(status="102 Processing")),
        (chunked(b"abc")[:-2], b"Trailer: value\r\n"),
        (head("Transfer-Encoding: chunked") + b"3;", b"x" * 100),
    ],
)
def test_what_does_not_end_is_refused(beginning, endless):
    answer = Answer()
    answer.feed(beginning)
    with pytest.raises(NotHttpError, match=str(MAX_HEAD_BYTES)):
        for _ in range(2 * MAX_HEAD_BYTES // len(endless)):
            answer.feed(endless)
