"""The writing half of a client connection: an answer goes out as fast as the socket takes it, or the client does."""

import socket
import ssl
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from distfile_mirror.errors import MirrorError
from distfile_mirror.proxy import durations
from distfile_mirror.proxy.bodies import Body, ColdError, NotYetError, unsent_bytes
from distfile_mirror.proxy.counters import Count

if TYPE_CHECKING:
    from distfile_mirror.proxy.server import Worker

# CONNECT, which is counted as a tunnel.
NO_REQUEST = -1.0


class Sending(ABC):
    """One answer after the other. Who receives says what comes next."""

    def __init__(self, worker: "Worker", sock: socket.socket) -> None:
        self._worker = worker
        self._sock = sock
        self.fd = sock.fileno()
        self._out: bytes | memoryview = b""
        self._body: Body | None = None
        self._busy = self._writing = self._warming = False
        self._unsent = 0
        self.deadline = 0.0
        self._waiting_since = 0.0
        self._limit: Count | None = None

    @abstractmethod
    def close(self) -> None:
        """Close now, whatever is under way."""

    @abstractmethod
    def on_readable(self) -> None:
        """Take what came, or go on with a handshake."""

    @abstractmethod
    def _answered(self) -> None:
        """Take note that the answer is out."""

    @abstractmethod
    def _next(self) -> None:
        """Answer what was asked meanwhile, or listen again."""

    def on_writable(self) -> None:
        """Send more. The loop calls it when the socket takes bytes again."""
        if not self._busy:  # a handshake that had to wait
            self._stop_writing()
            self.on_readable()
        elif self._flush():
            self._answered()
            self._next()

    def _send(self, data: bytes) -> None:
        self._out = data
        self._busy = True
        self._set_deadline(Count.LIMIT_STALLED_WRITER)
        if self._flush():
            self._answered()

    def _flush(self) -> bool:
        """Send what the socket takes now; return whether the answer is out."""
        try:
            while self._out:
                count = self._sock.send(self._out)
                self._worker.counters[Count.BYTES_SENT] += count
                self._out = b"" if count == len(self._out) else memoryview(self._out)[count:]
            if self._body is not None:
                self._worker.counters[Count.BYTES_SENT] += self._body.send(self._sock)  # type: ignore[arg-type]
                if not self._body.finished:
                    self._want_write()
                    return False
                self._body = None
        except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError):
            self._want_write()
            return False
        except ColdError as cold:
            self._warm(cold)
            return False
        except NotYetError:
            self._wait_for_bytes()
            return False
        except (OSError, MirrorError):
            self.close()
            return False
        return True

    def _note_waiting(self) -> None:
        """Begin to measure how long the answer takes, the first time that it waits for something."""
        if not self._waiting_since:
            self._waiting_since = self._worker.loop.time()

    def _count_duration(self) -> None:
        if not self._waiting_since:
            self._worker.counters[durations.FIRST] += 1
        elif self._waiting_since > 0:
            durations.observe(self._worker.counters, self._worker.loop.time() - self._waiting_since)

    def _warm(self, cold: ColdError) -> None:
        body = self._body
        assert body is not None  # noqa: S101 - only a body is ever cold
        self._warming = True
        self._stop_writing()
        self._worker.warm(body, cold, self._warmed)

    def _warmed(self, error: Exception | None) -> None:
        self._warming = False
        if self.fd < 0:
            return
        if error is not None:
            self.close()
        elif self._flush():
            self._answered()
            self._next()

    def _wait_for_bytes(self) -> None:
        self.deadline = float("inf")  # it is not the client that stalls
        self._stop_writing()
        self._worker.wait_for_bytes(self._bytes_came)

    def _bytes_came(self) -> None:
        if self.fd < 0:
            return
        self._set_deadline(Count.LIMIT_STALLED_WRITER)
        if self._flush():
            self._answered()
            self._next()

    def _want_write(self) -> None:
        self._note_waiting()
        if not self._writing:
            self._writing = True
            self._worker.loop.add_writer(self.fd, self.on_writable)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._worker.loop.remove_writer(self.fd)

    def _set_deadline(self, limit: Count) -> None:
        self._limit = limit
        self.deadline = self._worker.now + self._worker.seconds[limit]

    def _client_takes_bytes(self) -> bool:
        """Tell whether the kernel got rid of bytes since the last time: a slow client is not a dead one."""
        unsent = unsent_bytes(self.fd)
        changed, self._unsent = unsent != self._unsent, unsent
        return changed and self._busy
