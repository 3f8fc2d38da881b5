"""Bytes in, requests out: the head of an HTTP/1 message, parsed strictly, without a socket.

A request is complete with its head: nothing that is served here takes a body. One that announces a
body is answered and its connection closed, so that nobody can smuggle a second one in it.
"""

import re
from dataclasses import dataclass, field

import httptools

from distfile_mirror.errors import MirrorError
from distfile_mirror.model.request_ids import HEADER

# What the answer may depend on; the rest is not kept.
REQUEST_ID = HEADER.lower().encode()
KEPT_HEADERS = frozenset(
    {
        b"host",
        b"accept",
        b"authorization",
        b"proxy-authorization",
        b"expect",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        REQUEST_ID,
    }
)
# Fields that are lists: several lines of one name mean one list (RFC 9110, 5.3).
LIST_HEADERS = frozenset({b"accept", b"if-match", b"if-none-match", b"range", b"expect"})

# Header sections that were parsed before, and what was kept of them: a client sends the same one again and again.
_SECTIONS: dict[bytes, dict[bytes, bytes]] = {}
MAX_SECTIONS = 256
MAX_SECTION_BYTES = 2_048
# A request line that the parser takes, too, and that says nothing of how the rest is to be read.
_PLAIN_LINE = re.compile(rb"(GET|HEAD) ((?:http://[0-9A-Za-z.:\[\]-]+)?/[!-\"$-~]*) HTTP/1\.1\r\n")

_CONNECT = b"CONNECT "
_HEAD_END = b"\r\n\r\n"


class BadRequestError(MirrorError):
    """The bytes are not a request that this server takes; ``status`` says why, the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Request:
    """The head of one request. ``headers``: lower-case names of KEPT_HEADERS only; several requests share them."""

    method: bytes
    target: bytes
    keep_alive: bool
    version: str
    headers: dict[bytes, bytes] = field(default_factory=dict)
    has_body: bool = False


class RequestParser:
    """Feeds on the bytes of one connection. After CONNECT, or an error, it takes no more."""

    __slots__ = (
        "_begun",
        "_finished",
        "_has_body",
        "_head_bytes",
        "_headers",
        "_is_last",
        "_max_head_bytes",
        "_parser",
        "_ready",
        "_url",
    )

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._has_body = False
        self._begun = False
        self._head_bytes = 0
        self._finished = False
        self._is_last = False
        self._ready: list[Request] = []

    @property
    def in_head(self) -> bool:
        """Tell whether a request has begun and is not complete."""
        return self._begun

    def feed(self, data: bytes | bytearray | memoryview) -> list[Request]:
        """Take bytes and return the requests that they complete, oldest first.

        Raises:
            BadRequestError: for what is malformed or too long; requests before it are lost with it.
        """
        if self._finished:
            return []
        if self._begun or self._is_last:
            return self._parse(data)
        head = bytes(data)
        request = _known_request(head)
        if request is not None:
            return [request]
        ready = self._parse(head)
        if len(ready) == 1 and ready[0].keep_alive and not self._begun:
            _remember(head, ready[0])
        return ready

    def _parse(self, data: bytes | bytearray | memoryview) -> list[Request]:
        ready = self._ready
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finished = True
            if ready:
                ready[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if not (ready and not ready[-1].keep_alive):
                raise self._refusal(error) from None
            self._finished = True  # what follows a request that ends the connection is nobody's
        if ready:
            self._ready = []
            return ready
        if self._head_bytes > self._max_head_bytes:
            raise self._too_long()
        return ready

    def on_message_begin(self) -> None:
        """Note that a request begins (called by the parser)."""
        self._begun = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target (called by the parser)."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header (called by the parser)."""
        name = name.lower()
        if name in KEPT_HEADERS:
            self._keep(name, value)
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t")):
            self._has_body = True

    def on_headers_complete(self) -> None:
        """Make a request of what came (called by the parser)."""
        if self._finished:
            return
        parser = self._parser
        request = Request(
            parser.get_method(), self._url, parser.should_keep_alive(), parser.get_http_version(), self._headers
        )
        if self._has_body:
            request.has_body = True
            request.keep_alive = False
            self._finished = True
        self._is_last = not request.keep_alive
        self._ready.append(request)
        self._url = b""
        self._headers = {}
        self._head_bytes = 0
        self._begun = False

    def _keep(self, name: bytes, value: bytes) -> None:
        if name not in self._headers:
            self._headers[name] = value
        elif name in LIST_HEADERS:
            self._headers[name] += b", " + value
        else:
            raise BadRequestError(400, f"more than one {name.decode()} header")

    def _too_long(self) -> BadRequestError:
        if len(self._url) >= self._max_head_bytes // 2:
            return BadRequestError(414, f"the URL is too long: {len(self._url)} bytes and more")
        return BadRequestError(431, f"the request head is too long: at most {self._max_head_bytes} bytes are taken")

    def _refusal(self, error: httptools.HttpParserError) -> BadRequestError:
        if isinstance(error.__context__, BadRequestError):
            return error.__context__
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            return BadRequestError(400, "this is not an HTTP request: unknown method")
        return BadRequestError(400, f"this is not a valid HTTP/1.1 request: {error}")


def _known_request(head: bytes) -> Request | None:
    """Return the request that ``head`` is, if its header section is one that was parsed before."""
    line = _PLAIN_LINE.match(head)
    if line is None:
        return None
    headers = _SECTIONS.get(head[line.end() :])
    return None if headers is None else Request(line[1], line[2], True, "1.1", headers)


def _remember(head: bytes, request: Request) -> None:
    """Take note of the header section of ``request``, if ``head`` is that request, all of it, and nothing else."""
    line = _PLAIN_LINE.match(head)
    if line is None or line[2] != request.target:
        return
    section = head[line.end() :]
    if len(section) > MAX_SECTION_BYTES or section.find(_HEAD_END) != len(section) - len(_HEAD_END):
        return
    if len(_SECTIONS) >= MAX_SECTIONS:
        _SECTIONS.clear()
    _SECTIONS[section] = request.headers


def connect_head_length(opening: bytes) -> int | None:
    """Return how many of the first bytes of a connection belong to the head of a CONNECT, so far.

    None: they are no CONNECT. What follows its head is for whoever answers inside the tunnel.
    """
    if not _CONNECT.startswith(opening[: len(_CONNECT)]):
        return None
    end = opening.find(_HEAD_END)
    return len(opening) if end < 0 else end + len(_HEAD_END)
