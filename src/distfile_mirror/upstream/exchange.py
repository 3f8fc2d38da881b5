"""One request and its answer on a connection."""

from collections.abc import Callable, Mapping

from distfile_mirror.upstream.answers import Answer
from distfile_mirror.upstream.bodies import CutBodyError
from distfile_mirror.upstream.buffers import Buffers
from distfile_mirror.upstream.wire import Wire

# What is read at a time where it needs to be parsed, and where it does not.
_PARSED_BYTES = 1 << 15
PIECE_BYTES = 1 << 20


class NoAnswerError(OSError):
    """The connection ended before there was a head."""


class Exchange:
    """The conversation on ``wire``, and the Body of its answer; ``end`` is told whether the wire may be used again."""

    def __init__(self, wire: Wire, end: Callable[[Wire, bool], None]) -> None:
        self._wire = wire
        self._end: Callable[[Wire, bool], None] | None = end
        self._buffer = memoryview(bytearray(_PARSED_BYTES))
        self._buffers: Buffers | None = None
        self.answer = Answer()
        self.has_begun = False

    async def ask(self, request: bytes) -> None:
        """Send ``request`` and return when the head of the answer is there. Interim answers are passed over.

        Raises:
            OSError: NoAnswerError, NotHttpError, or what the connection raises.
        """
        await self._wire.send(request)
        while not self.answer.has_head:
            if not await self._feed():
                raise NoAnswerError

    async def read(self) -> bytes | memoryview:
        """See Body.read."""
        answer = self.answer
        try:
            while not (data := answer.take()) and not answer.is_complete:
                if answer.verbatim:
                    return await self._read_verbatim()
                if not await self._feed():
                    self._know_the_end()
        except CutBodyError:
            raise
        except OSError as error:
            raise CutBodyError(error.strerror or "the connection broke") from error
        return data

    def give_back(self) -> None:
        """See Body.give_back; again, it does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end(self._wire, self.answer.is_complete and self.answer.is_reusable)

    async def _feed(self) -> int:
        """Read some and parse it; return how many bytes came, 0 at the end of the connection."""
        count = await self._wire.read(self._buffer)
        if count:
            self.has_begun = True
            self.answer.feed(self._buffer[:count])
        return count

    async def _read_verbatim(self) -> bytes | memoryview:
        """Read straight into the piece that the caller gets."""
        if self._buffers is None:
            self._buffers = Buffers(min(self.answer.verbatim, PIECE_BYTES))
        room = self._buffers.take()[: self.answer.verbatim]
        count = await self._wire.read(room, enough=len(room))
        if not count:
            self._know_the_end()
            return b""
        self.answer.advance(count)
        # Of a slow body: what waits to be stored must not be mostly empty.
        return room[:count] if count > len(room) // 2 else bytes(room[:count])

    def _know_the_end(self) -> None:
        self.answer.end()
        if not self.answer.is_complete:
            raise CutBodyError("the connection ended")


def write_request(method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> bytes:
    """Return a request as it is sent (RFC 9112, 3).

    Raises:
        ValueError: if a field has a line of its own in it.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        message = "a header field has a line break in it"
        raise ValueError(message)
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content
