"""The parser of requests, byte by byte and with anything."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.proxy import request as request_module
from distfile_mirror.proxy.request import BadRequestError, RequestParser, connect_head_length

MAX = 4096


def parse(data, *, pieces=None):
    parser = RequestParser(MAX)
    found = []
    for piece in pieces or [data]:
        found += parser.feed(piece)
    return found


def one(head):
    (request,) = parse(head.replace(b"\n", b"\r\n"))
    return request


def test_what_is_kept_of_a_request():
    request = one(b"GET /a?b HTTP/1.1\nHOST: Example.org\nX-Other: 1\nRange: bytes=0-\nAccept: a\nAccept: b\n\n")
    assert (request.method, request.target, request.version) == (b"GET", b"/a?b", "1.1")
    assert request.headers == {b"host": b"Example.org", b"range": b"bytes=0-", b"accept": b"a, b"}
    assert request.keep_alive
    assert not request.has_body


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", True),
        (b"GET / HTTP/1.1\nHost: x\nConnection: close\n\n", False),
        (b"GET / HTTP/1.1\nHost: x\nConnection: Keep-Alive, CLOSE\n\n", False),
        (b"GET / HTTP/1.0\nHost: x\n\n", False),
        (b"GET / HTTP/1.0\nHost: x\nConnection: keep-alive\n\n", True),
        (b"GET / HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: h2c\n\n", False),
        (b"POST / HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello", False),
    ],
)
def test_whether_the_connection_goes_on(head, keep_alive):
    assert one(head).keep_alive is keep_alive


def test_what_follows_a_body_is_never_a_request():
    first, *more = parse(
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert first.has_body
    assert more == []


def test_an_empty_body_is_no_body():
    assert one(b"GET / HTTP/1.1\nHost: x\nContent-Length: 0\n\n").keep_alive


def test_pipelined_requests_come_in_order():
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50))
    assert [request.target for request in parse(data)] == [b"/%d" % number for number in range(50)]


def test_a_head_has_begun_or_not():
    parser = RequestParser(MAX)
    assert not parser.in_head
    parser.feed(b"GET / HT")
    assert parser.in_head
    parser.feed(b"TP/1.1\r\nHost: x\r\n\r\n")
    assert not parser.in_head
    parser.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /second")
    assert parser.in_head


@pytest.mark.parametrize(
    ("data", "status"), [(b"GET /" + b"a" * 5000, 414), (b"GET / HTTP/1.1\r\nX: " + b"a" * 5000, 431)]
)
def test_too_long(data, status):
    with pytest.raises(BadRequestError) as caught:
        parse(data)
    assert caught.value.status == status


def test_a_head_that_grows_slowly_is_bounded_too():
    parser = RequestParser(MAX)
    parser.feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(BadRequestError):
        for _ in range(1000):
            parser.feed(b"X-Header: value\r\n")


def test_two_hosts_are_refused():
    with pytest.raises(BadRequestError, match="more than one host"):
        one(b"GET / HTTP/1.1\nHost: a\nHost: b\n\n")


VALID = (
    b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nRange: bytes=1-2\r\n\r\n"
    b"HEAD /y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"
)


@given(cuts=st.lists(st.integers(0, len(VALID)), max_size=8))
def test_it_does_not_matter_how_bytes_are_cut(cuts):
    edges = [0, *sorted(cuts), len(VALID)]
    pieces = [VALID[a:b] for a, b in pairwise(edges) if b > a]
    assert parse(b"", pieces=pieces) == parse(VALID)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_anything_gives_requests_or_a_refusal(pieces):
    try:
        found = parse(b"", pieces=pieces)
    except BadRequestError as error:
        assert 400 <= error.status < 500
        assert str(error)
    else:
        assert all(request.method and request.target for request in found)


@given(before=st.binary(max_size=20), after=st.binary(max_size=50))
def test_the_head_of_connect_ends_where_it_ends(before, after):
    head = b"CONNECT a:1 HTTP/1.1\r\nX: " + before.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n"
    assert connect_head_length(head + after) == len(head)
    assert connect_head_length(head[:-1]) == len(head) - 1
    assert connect_head_length(b"GET / HTTP/1.1\r\n") is None
    assert connect_head_length(b"CON") == 3


LINES = st.sampled_from([
    b"GET / HTTP/1.1", b"HEAD /x?y HTTP/1.1", b"GET http://a.test/x HTTP/1.1", b"GET http://a.test HTTP/1.1",
    b"GET /\xff HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET //a HTTP/1.1", b"GET http://[::1]:80/ HTTP/1.1",
    b"GET http://a..b:x/ HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"get / HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1", b"GET http:///a HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /a\nHost: b HTTP/1.1",
])  # fmt: skip
FIELDS = st.sampled_from([
    b"Host: a.test", b"Range: bytes=0-", b"Accept: a", b"Connection: close", b"Connection: upgrade", b"Upgrade: x",
    b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: 1", b" folded", b"",
    b"X\n\nGET / HTTP/1.1", b"Host : a", b"X: \x00", b"Connection: keep-alive", b"GET / HTTP/1.1",
])  # fmt: skip
ENDS = st.sampled_from([b"\r\n\r\n", b"\r\n\r\n ", b"\r\n", b"\n\n", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"])
HEADS = st.builds(
    lambda line, fields, end: b"\r\n".join([line, *fields]) + end, LINES, st.lists(FIELDS, max_size=3), ENDS
)


def told(pieces, *, anew=False):
    """Return what becomes of ``pieces`` on one connection; ``anew``: each is parsed as if nothing were known."""
    parser, found = RequestParser(MAX), []
    for piece in pieces:
        if anew:
            request_module._SECTIONS.clear()
        try:
            found += parser.feed(piece)
        except BadRequestError as error:
            return [*found, str(error)], None
    return found, parser.in_head


@given(st.lists(HEADS, min_size=1, max_size=4))
def test_a_header_section_that_is_known_means_what_it_meant(heads):
    expected = told(heads, anew=True)
    request_module._SECTIONS.clear()
    for head in heads:  # what each leaves behind, whoever sent it
        told([head])
    assert told(heads) == expected


def test_only_so_many_header_sections_are_known():
    request_module._SECTIONS.clear()
    for number in range(3 * request_module.MAX_SECTIONS):
        one(b"GET / HTTP/1.1\nX: %d\n\n" % number)
        assert 0 < len(request_module._SECTIONS) <= request_module.MAX_SECTIONS
    one(b"GET / HTTP/1.1\nX: " + b"x" * request_module.MAX_SECTION_BYTES + b"\n\n")
    assert all(len(section) <= request_module.MAX_SECTION_BYTES for section in request_module._SECTIONS)
