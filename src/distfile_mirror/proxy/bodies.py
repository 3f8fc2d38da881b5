"""Moves the bytes of a blob to a socket, a bounded number at a time, without waiting for a disk.

What is in the page cache is sent from the loop; what is not is read by a thread first
(RWF_NOWAIT tells the two apart). Plain HTTP goes by sendfile and touches no memory of ours; TLS
takes one chunk per connection, which is lent while it is being sent and no longer.
"""

import fcntl
import os
import socket
import ssl
import struct
import termios

from distfile_mirror.blobs.cached_blob import CachedBlob
from distfile_mirror.blobs.store import OpenBlob
from distfile_mirror.errors import StorageError

TLS_CHUNK_BYTES = 131_072
SENDFILE_BYTES = 524_288
# How many bytes one connection may send before others get their turn.
TURN_BYTES = 4 << 20
_PROBE_STEP = 65_536
# Some file systems have no page cache to ask about: they are read straight away.
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class ColdError(Exception):
    """The next bytes are not in memory; ``first`` and ``length`` say which to read in a thread."""

    def __init__(self, first: int, length: int) -> None:
        self.first = first
        self.length = length
        super().__init__()


class NotYetError(Exception):
    """The next bytes have not come from the object store yet."""


class ChunkPool:
    """Chunks for lending. What comes back is lent again, so that memory follows the number of senders."""

    def __init__(self, keep: int = 16) -> None:
        self._free: list[bytearray] = []
        self._keep = keep

    def lend(self) -> bytearray:
        """Return a chunk of TLS_CHUNK_BYTES, its content undefined."""
        return self._free.pop() if self._free else bytearray(TLS_CHUNK_BYTES)

    def give_back(self, chunk: bytearray) -> None:
        """Take a chunk back that nobody uses any more."""
        if len(self._free) < self._keep:
            self._free.append(chunk)


class PlainBody:
    """Bytes ``first`` to ``end`` of ``blob`` for a plain socket."""

    __slots__ = ("_blob", "end", "position")

    def __init__(self, blob: OpenBlob, first: int, end: int) -> None:
        self._blob = blob
        self.position = first
        self.end = end

    def send(self, sock: socket.socket) -> int:
        """Send a turn's worth; return how many bytes went out. At the end ``finished`` is true.

        Raises:
            BlockingIOError: when the socket takes no more now, and nothing went out.
            ColdError: when the next bytes must be read first.
            OSError: when the connection is broken.
        """
        sent = 0
        while self.position < self.end and sent < TURN_BYTES:
            length = min(SENDFILE_BYTES, self.end - self.position)
            try:
                _check_cached(self._blob.fd, self.position, length)
                count = os.sendfile(sock.fileno(), self._blob.fd, self.position, length)
            except (BlockingIOError, ColdError):
                if sent:
                    return sent
                raise
            if not count:
                raise StorageError("a blob ended before its size")
            sent += count
            self.position += count
        return sent

    @property
    def finished(self) -> bool:
        """Tell whether all has been sent."""
        return self.position >= self.end

    def warm(self, cold: ColdError) -> None:
        """In a thread: bring what ``cold`` says into the page cache."""
        _advise(self._blob.fd, cold.first)
        buffer = bytearray(min(cold.length, _PROBE_STEP))
        position = cold.first
        while position < cold.first + cold.length and (count := os.preadv(self._blob.fd, [buffer], position)):
            position += count

    def close(self) -> None:
        """Let go of the blob."""


class TlsBody:
    """Bytes ``first`` to ``end`` of ``blob`` for a TLS socket."""

    __slots__ = ("_blob", "_chunk", "_pending", "_pool", "end", "position")

    def __init__(self, blob: OpenBlob, first: int, end: int, pool: ChunkPool) -> None:
        self._blob = blob
        self.position = first
        self.end = end
        self._pool = pool
        self._chunk: bytearray | None = None
        self._pending: memoryview | None = None

    def send(self, sock: ssl.SSLSocket) -> int:
        """See PlainBody.send; a chunk goes out whole or, so far as one can tell here, not at all."""
        sent = 0
        while self.position < self.end and sent < TURN_BYTES:
            try:
                if self._pending is None:
                    self._fill()
                count = sock.send(self._pending)  # type: ignore[arg-type]
            except (ssl.SSLWantWriteError, ColdError):
                if sent:
                    return sent
                raise
            sent += count
            self.position += count
            pending = self._pending
            self._pending = pending[count:] if pending is not None and count < len(pending) else None
        if self.finished:
            self.close()
        return sent

    @property
    def finished(self) -> bool:
        """Tell whether all has been sent."""
        return self.position >= self.end

    def warm(self, cold: ColdError) -> None:
        """In a thread: see PlainBody.warm."""
        _advise(self._blob.fd, cold.first)
        self._take(os.preadv(self._blob.fd, [self._view(cold.length)], cold.first))

    def close(self) -> None:
        """Give the chunk back and let go of the blob."""
        self._pending = None
        chunk, self._chunk = self._chunk, None
        if chunk is not None:
            self._pool.give_back(chunk)

    def _fill(self) -> None:
        length = min(TLS_CHUNK_BYTES, self.end - self.position)
        try:
            count = os.preadv(self._blob.fd, [self._view(length)], self.position, _NOWAIT)
        except BlockingIOError:
            raise ColdError(self.position, length) from None
        self._take(count)

    def _take(self, count: int) -> None:
        if not count:
            raise StorageError("a blob ended before its size")
        self._pending = self._view(count)

    def _view(self, length: int) -> memoryview:
        if self._chunk is None:
            self._chunk = self._pool.lend()
        return memoryview(self._chunk)[:length]


class GrowingBody:
    """What ``body`` sends of a blob that is still coming in; never further than it may be read."""

    __slots__ = ("_blob", "_body", "_end", "_first")

    def __init__(self, body: PlainBody | TlsBody, blob: CachedBlob) -> None:
        self._body = body
        self._blob = blob
        self._first = body.position
        self._end = body.end

    def send(self, sock: socket.socket) -> int:
        """See PlainBody.send.

        Raises:
            NotYetError: when all that may be read now went out.
            StorageError: when the blob will not come.
        """
        readable = self._blob.readable_end(self._first, self._end)
        if readable <= self._body.position:
            raise NotYetError
        self._body.end = readable
        return self._body.send(sock)  # type: ignore[arg-type]

    @property
    def finished(self) -> bool:
        """Tell whether all has been sent."""
        return self._body.position >= self._end

    def warm(self, cold: ColdError) -> None:
        """In a thread: see PlainBody.warm."""
        self._body.warm(cold)

    def close(self) -> None:
        """Let go of the blob."""
        self._body.close()


Body = PlainBody | TlsBody | GrowingBody


def make_body(blob: OpenBlob, first: int, end: int, sock: socket.socket, pool: ChunkPool) -> Body:
    """Return what sends the bytes ``first`` to ``end`` of ``blob`` to ``sock``."""
    body = TlsBody(blob, first, end, pool) if isinstance(sock, ssl.SSLSocket) else PlainBody(blob, first, end)
    if not isinstance(blob, CachedBlob):
        return body
    blob.was_used = True
    return body if blob.is_whole else GrowingBody(body, blob)


def unsent_bytes(fd: int) -> int:
    """Return how many bytes the kernel still holds for the other side of a TCP socket."""
    unsent: int = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))[0]
    return unsent


def _check_cached(fd: int, first: int, length: int) -> None:
    """Raise ColdError unless pages all along the span are in memory."""
    if not _NOWAIT:
        return
    probe = bytearray(1)
    for position in (*range(first, first + length, _PROBE_STEP), first + length - 1):
        try:
            os.preadv(fd, [probe], position, _NOWAIT)
        except BlockingIOError:
            raise ColdError(first, length) from None


def _advise(fd: int, first: int) -> None:
    os.posix_fadvise(fd, first, TURN_BYTES, os.POSIX_FADV_WILLNEED)
