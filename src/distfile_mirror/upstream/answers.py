"""One answer, from bytes to its head and body (RFC 9112): bytes go in, and there is no socket.

llhttp reads what has a form, strictly: the head, and chunks. Of a body that is as long as was announced, or as
long as the connection lasts, nothing is left to read; whoever has the socket may take it past the parser.
"""

import httptools
from multidict import CIMultiDict, CIMultiDictProxy

# Of a head, of trailers, and of anything else that is no content and goes on and on.
MAX_HEAD_BYTES = 1 << 16
ENDLESS = 1 << 63
_INTERIM = range(100, 200)


class NotHttpError(OSError):
    """What came is no answer in HTTP/1.1; ``strerror`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(None, reason)


class Answer:
    """Takes the bytes of one answer. ``status``, ``reason`` and ``headers`` hold once ``has_head`` does.

    ``is_reusable`` holds once ``is_complete`` does: another request may follow on the same connection.
    """

    __slots__ = (
        "_is_coded",
        "_left",
        "_pairs",
        "_parser",
        "_pieces",
        "_reason",
        "_without_content",
        "has_head",
        "headers",
        "is_complete",
        "is_reusable",
        "status",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pairs: list[tuple[str, str]] = []
        self._reason = b""
        self._pieces: list[bytes] = []
        self._without_content = 0
        self._left = 0
        self._is_coded = False
        self.has_head = False
        self.is_complete = False
        self.is_reusable = False
        self.status = 0
        self.headers: CIMultiDictProxy[str]

    @property
    def reason(self) -> str:
        """What stands behind the status."""
        return self._reason.decode("utf-8", "surrogateescape")

    @property
    def verbatim(self) -> int:
        """How many of the next bytes are content as they are, and need not be fed; 0: feed what comes."""
        return 0 if self._is_coded or self.is_complete else self._left

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes, best in pieces of up to MAX_HEAD_BYTES. What follows the end is left out.

        Raises:
            NotHttpError: if they are wrong, or a head does not end.
        """
        self._without_content += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise NotHttpError("it changed the protocol, which nobody asked for") from None
        except httptools.HttpParserError as error:
            if not self.is_complete:
                raise NotHttpError(str(error)) from None
            self.is_reusable = False
        if self._without_content >= MAX_HEAD_BYTES and not self.is_complete:
            raise NotHttpError(f"more than {MAX_HEAD_BYTES} bytes of it are no content")

    def advance(self, count: int) -> None:
        """Know of ``count`` bytes of content, of those that are ``verbatim``, that were not fed."""
        if self._left != ENDLESS:
            self._left -= count
            self.is_complete = not self._left

    def end(self) -> None:
        """Know that the connection has ended. The answer is complete then, or never will be."""
        self.is_reusable = False
        self.is_complete = self.is_complete or self.verbatim == ENDLESS

    def take(self) -> bytes:
        """Return the content that was fed since the last time."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        """Begin the answer, or the one after an interim one (RFC 9110, 15.2)."""
        if self.is_complete:
            self.is_reusable = False
        self._pairs = []

    def on_status(self, data: bytes) -> None:
        """Take a part of the reason."""
        if not self.is_complete:
            self._reason += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; those of trailers are of no use."""
        if not self.has_head:
            self._pairs.append((name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        """Know how the body is framed (RFC 9112, 6.3)."""
        status = self._parser.get_status_code()
        if self.has_head:
            return
        if status in _INTERIM:
            self._reason = b""
            return
        self.has_head = True
        self.status = status
        self.headers = CIMultiDictProxy(CIMultiDict(self._pairs))
        self.is_reusable = self._parser.should_keep_alive()
        self._is_coded = "Transfer-Encoding" in self.headers
        self._left = int(self.headers.get("Content-Length", ENDLESS))

    def on_body(self, data: bytes) -> None:
        """Take a part of the content."""
        if self.is_complete:
            return
        self._without_content = 0
        self._pieces.append(data)
        if self._left != ENDLESS:
            self._left -= len(data)

    def on_message_complete(self) -> None:
        """Know that the answer is whole, unless it is an interim one."""
        self.is_complete = self.has_head
