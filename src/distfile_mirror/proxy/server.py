"""One worker process of the proxy: its listening socket, its limits, its clock, its end.

Workers share the port (SO_REUSEPORT) and nothing else but the numbers that they count.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate

import structlog

from distfile_mirror.errors import MirrorError
from distfile_mirror.proxy.arrivals import HANDSHAKE_SECONDS, let_no_more_in
from distfile_mirror.proxy.bodies import Body, ChunkPool, ColdError
from distfile_mirror.proxy.connection import RECEIVE_BYTES, Connection
from distfile_mirror.proxy.counters import Count
from distfile_mirror.proxy.decide import Serve
from distfile_mirror.proxy.lookups import Lookups, Missing
from distfile_mirror.proxy.misses import miss_key, refused_key
from distfile_mirror.proxy.own import OwnAnswers
from distfile_mirror.proxy.routes import Channel
from distfile_mirror.proxy.sightings import SightingsGatherer
from distfile_mirror.proxy.tls import Certificates

ACCEPTS_A_TURN = 64
TICK_SECONDS = 1.0
# What was seen is written every so many seconds.
TICKS_A_FLUSH = 3
# Open blobs that the cache has no more are let go of every so many seconds.
TICKS_A_CLEANING = 5
# How often those who wait for bytes of a blob that comes in look for more.
WAIT_SECONDS = 0.015

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 43\r\n\r\nToo many connections; try again in a while\n"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all together, may take. Times in seconds."""

    head_bytes: int
    head_timeout: float
    handshake_timeout: float
    idle_timeout: float
    stalled_writer_timeout: float
    max_connections: int
    max_connections_per_client: int

    def seconds(self) -> dict[Count, float]:
        """Return those of time by what counts who exceeds them."""
        return {
            Count.LIMIT_HEAD_TIME: self.head_timeout,
            Count.LIMIT_HANDSHAKE_TIME: self.handshake_timeout,
            Count.LIMIT_IDLE_TIME: self.idle_timeout,
            Count.LIMIT_STALLED_WRITER: self.stalled_writer_timeout,
        }


class Worker:
    """Accepts connections and gives them what they need.

    ``lookups``, ``tls`` and ``own`` answer; ``revision`` asks the catalog for its revision, in
    ``questions``; ``executor`` reads; ``counters`` are indexed by Count; ``counted_elsewhere`` returns numbers
    that others keep.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        lookups: Lookups,
        tls: Certificates,
        own: OwnAnswers,
        counters: memoryview,
        questions: Executor,
        executor: Executor,
        revision: Callable[[], int],
        sightings: SightingsGatherer,
        admin_url: str,
        direct_channel: Channel,
        counted_elsewhere: Callable[[], Mapping[Count, int]] = dict,
    ) -> None:
        self.loop = loop
        self.limits = limits
        self.lookups = lookups
        self.tls = tls
        self.own = own
        self.counters = counters
        self.admin_url = admin_url
        self.sightings = sightings
        self.direct_channel = direct_channel
        self.chunks = ChunkPool()
        self.receive_buffer = memoryview(bytearray(RECEIVE_BYTES))
        self.seconds = limits.seconds()
        self.now = loop.time()
        self.date_lines = b""
        self.closing = False
        self._questions = questions
        self._executor = executor
        self._revision = revision
        self._connections: set[Connection] = set()
        self._by_client: dict[str, int] = {}
        self._counted_elsewhere = counted_elsewhere
        self._waiting: list[Callable[[], object]] = []
        self._listener: socket.socket | None = None
        self._asking = False
        self._ticks = 0
        self._all_closed = asyncio.Event()

    async def run(self, listener: socket.socket, stop: asyncio.Event, *, grace: float) -> None:
        """Serve on ``listener`` until ``stop``; then let what is under way finish for ``grace`` seconds."""
        listener.setblocking(False)
        self._listener = listener
        self._tick()
        ticks = asyncio.create_task(self._tick_for_ever())
        self.loop.add_reader(listener.fileno(), self._accept)
        try:
            await stop.wait()
            await self._drain(listener, grace)
        finally:
            ticks.cancel()
            with suppress(asyncio.CancelledError):
                await ticks
            for connection in list(self._connections):
                connection.close()
            self.sightings.flush_finally(self.counters[Count.BYTES_SENT])

    def forget(self, connection: Connection) -> None:
        """Take note that ``connection`` is closed."""
        self._connections.discard(connection)
        self.counters[Count.CONNECTIONS_OPEN] -= 1
        left = self._by_client[connection.client] - 1
        if left:
            self._by_client[connection.client] = left
        else:
            del self._by_client[connection.client]
        if not self._connections:
            self._all_closed.set()

    def warm(self, body: Body, cold: ColdError, then: Callable[[Exception | None], object]) -> None:
        """Read what is not in memory in a thread, then call ``then``, with what went wrong if anything did."""
        self._executor.submit(self._warm, body, cold, then)

    def wait_for_bytes(self, then: Callable[[], object]) -> None:
        """Call ``then`` in a moment, when more bytes of a blob may have come in."""
        if not self._waiting:
            self.loop.call_later(WAIT_SECONDS, self._wake_waiting)
        self._waiting.append(then)

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def note_miss(self, asked: Serve, found: Missing, label: str, client: str, request_id: str) -> None:
        """Note that something was asked for in vain, and log it."""
        key = miss_key(asked, found, label, client)
        if key is not None:
            self.sightings.miss(key)
        why = key.reason if key else "part"
        log.info("miss", uri=asked.uri, why=why, client=client, label=label, request_id=request_id)

    def note_refused(self, uri: str, label: str, client: str) -> None:
        """Note that ``uri`` was asked for by a method that no store of files answers."""
        key = refused_key(uri, label, client)
        if key is not None:
            self.sightings.miss(key)

    def _warm(self, body: Body, cold: ColdError, then: Callable[[Exception | None], object]) -> None:
        problem: Exception | None = None
        try:
            body.warm(cold)
        except (OSError, MirrorError) as error:
            log.error("reading a blob failed", reason=str(error))  # noqa: TRY400 - it says all
            problem = error
        self.loop.call_soon_threadsafe(then, problem)

    def _accept(self) -> bool:
        """Accept who waits, so many at a time; return whether more may be waiting."""
        assert self._listener is not None  # noqa: S101 - set before it is watched
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return False
            except OSError as error:  # out of descriptors: the loop would spin
                log.error("cannot accept connections", reason=str(error))  # noqa: TRY400 - it says all
                self.loop.remove_reader(self._listener.fileno())
                self.loop.call_later(TICK_SECONDS, self._accept_again)
                return False
            self._admit(sock, address[0])
        return True

    def _accept_again(self) -> None:
        if self._listener is not None and self._listener.fileno() >= 0:
            self.loop.add_reader(self._listener.fileno(), self._accept)

    def _admit(self, sock: socket.socket, client: str) -> None:
        sock.setblocking(False)
        limit = self._exceeded(client)
        if limit is not None:
            self.counters[limit] += 1
            with suppress(OSError):
                sock.send(_TOO_MANY)
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counters[Count.CONNECTIONS_ACCEPTED] += 1
        self.counters[Count.CONNECTIONS_OPEN] += 1
        self._by_client[client] = self._by_client.get(client, 0) + 1
        self._connections.add(Connection(self, sock, client))

    def _exceeded(self, client: str) -> Count | None:
        if len(self._connections) >= self.limits.max_connections:
            return Count.LIMIT_CONNECTIONS
        if self._by_client.get(client, 0) >= self.limits.max_connections_per_client:
            return Count.LIMIT_CONNECTIONS_PER_CLIENT
        return None

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._tick()

    def _tick(self) -> None:
        """Move the clock on: once a second is exact enough for every limit."""
        self.now = self.loop.time()
        self.date_lines = b"Server: distfile-mirror\r\nDate: %s\r\n" % formatdate(usegmt=True).encode()
        self.counters[Count.CERTIFICATES_ISSUED] = self.tls.issued
        self.counters[Count.SIGHTINGS_DROPPED] = self.sightings.dropped
        for count, number in self._counted_elsewhere().items():
            self.counters[count] = number
        self.lookups.tick()
        self._ticks += 1
        if self._ticks % TICKS_A_CLEANING == 0:
            self.lookups.forget_stale()
        if self._ticks % TICKS_A_FLUSH == 0:
            self.sightings.flush(self.counters[Count.BYTES_SENT])
        for connection in [item for item in self._connections if item.deadline < self.now]:
            connection.expire()
        if not self._asking:
            self._asking = True
            self._questions.submit(self._ask_revision)

    def _ask_revision(self) -> None:
        revision: int | None = None
        try:
            revision = self._revision()
        except MirrorError as error:
            log.warning("the catalog does not answer; what was served before is served on", reason=str(error))
        except Exception:
            log.exception("asking the catalog failed")
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._take_revision, revision)

    def _take_revision(self, revision: int | None) -> None:
        self._asking = False
        if revision is not None:
            self.lookups.set_revision(revision)

    async def _drain(self, listener: socket.socket, grace: float) -> None:
        let_no_more_in(listener)
        self.closing = True
        for connection in list(self._connections):
            connection.finish()
        await asyncio.sleep(HANDSHAKE_SECONDS)
        while self._accept():  # who has connected by now is not turned away
            pass
        self.loop.remove_reader(listener.fileno())
        listener.close()
        self._all_closed.clear()
        if self._connections:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._all_closed.wait()
