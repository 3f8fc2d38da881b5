"""A connected socket, with TLS or without, read when the loop says that it is ready (ADR 0001, ADR 0012).

No transports: bytes go from the kernel, or from OpenSSL, straight into the reader's buffer.
"""

import asyncio
import socket
import ssl
from typing import Any

# What TLS gives at a time, at most. Less than this, and there is no more just now.
_RECORD_BYTES = 1 << 14
# How long a reader who wants much waits for the rest of it.
LINGER_SECONDS = 0.05
_NO_ROOM = memoryview(b"")
_BLOCKED = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Wire:
    """One connection; it owns ``sock``, which does not block. One reads at a time, and cancelling it is safe."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._is_watched = False
        self._waiter: asyncio.Future[int] | None = None
        self._room = _NO_ROOM
        self._enough = 0
        self._filled = 0
        self._linger: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        self._was_full = False
        self._has_ended = False

    async def read(self, room: memoryview, *, enough: int = 1) -> int:
        """Read into ``room``; return the number of bytes, 0 at the end of the connection (cut or closed).

        It waits until ``enough`` are there, but not for long once there are any.

        Raises:
            OSError: if the connection broke, after all that came before was returned.
        """
        if self._failure is not None:
            raise self._failure
        if self._has_ended:  # TLS may have said so, of which no readiness tells again
            return 0
        self._room, self._enough, self._filled = room, enough, 0
        self._waiter = self._loop.create_future()
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._fd, self._on_readable)
        if self._is_pending():
            self._loop.call_soon(self._on_readable)
        try:
            return await self._waiter
        finally:
            self._waiter, self._room = None, _NO_ROOM
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None

    async def send(self, data: bytes) -> None:
        """Return when ``data`` is on its way. Raises OSError."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except _BLOCKED:
                await writable(self._sock)

    def is_quiet(self) -> bool:
        """Tell whether nothing came that nobody has read, neither bytes nor the end."""
        if self._is_pending() or self._has_ended or self._failure is not None:
            return False
        if self._is_watched:  # and the loop has not seen anything
            return True
        try:
            self._sock.recv(1)
        except _BLOCKED:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Cut the connection, without the farewell of TLS, for which a hostile peer could keep us waiting."""
        self._unwatch()
        self._sock.close()

    def _is_pending(self) -> bool:
        # What TLS has decrypted already: no readiness tells of it. Only a full room can have left some.
        return self._was_full and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        if self._waiter is None:
            self._unwatch()  # until somebody reads again: the peer has to wait
        elif not self._waiter.done():
            try:
                self._has_ended = self._fill()
            except _BLOCKED:
                pass
            except OSError as error:
                self._failure = error
            self._conclude(self._waiter)

    def _fill(self) -> bool:
        """Read what is there, up to the room there is; tell whether the connection has ended."""
        size = len(self._room)
        self._was_full = False
        while self._filled < size:
            free = size - self._filled
            count = self._sock.recv_into(self._room[self._filled :], free)
            if not count:
                return True
            self._filled += count
            if count < free and count < _RECORD_BYTES:
                return False
        self._was_full = True
        return False

    def _conclude(self, waiter: "asyncio.Future[int]") -> None:
        if self._failure is not None and not self._filled:
            waiter.set_exception(self._failure)
        elif self._failure is not None or self._has_ended or self._filled >= self._enough:
            waiter.set_result(self._filled)
        elif self._filled and self._linger is None:
            self._linger = self._loop.call_later(LINGER_SECONDS, self._give_what_there_is)

    def _give_what_there_is(self) -> None:
        self._linger = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._filled)


async def readable(sock: socket.socket) -> None:
    """Return when ``sock``, on which nobody else waits, can be read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


async def writable(sock: socket.socket) -> None:
    """Return when ``sock`` can be written to."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock.fileno())


def _set(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_result(None)
