"""From the network into the blob store: hashed and written in a worker thread while the next batches come in.

A small file is hashed where it comes in and stored together with others; of a large one at most WAITING_BATCHES and
two more are in memory, so that neither a disk nor a scheduler that hesitates makes the upstream wait at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from distfile_mirror.blobs.object_errors import UnreachableError
from distfile_mirror.blobs.store import BlobStore, BlobWriter
from distfile_mirror.downloaders.decoding import DecodedDigests
from distfile_mirror.downloaders.in_order import InOrder
from distfile_mirror.downloaders.small_blobs import SMALL_BYTES, SmallBlobs
from distfile_mirror.downloaders.verify import Digests
from distfile_mirror.model.checksums import Hasher
from distfile_mirror.upstream.settings import Head

T = TypeVar("T")

BATCH_BYTES = 1 << 20
WAITING_BATCHES = 4
WORTH_JOINING_BYTES = 1 << 16
# A store that is away is asked again so often, and for so long.
AGAIN_SECONDS = 1.0
AWAY_SECONDS = 600.0


@dataclass(slots=True)
class Meter:
    """How far a download is, in bytes, for whoever looks. ``total_bytes`` None where upstream does not say.

    ``on_transferred`` is called when all has come and only storing is left: the host is free for the next;
    ``on_store_away`` each time that the store could not be reached, and is tried again.
    """

    received_bytes: int = 0
    total_bytes: int | None = None
    on_transferred: Callable[[], None] = lambda: None
    on_store_away: Callable[[], None] = lambda: None


class BlobSink:
    """An upstream Sink for one blob. ``expected_algorithms`` are hashed too; ``pool`` does the work that blocks."""

    def __init__(
        self,
        store: BlobStore,
        pool: Executor,
        small_blobs: SmallBlobs,
        *,
        expected_algorithms: Iterable[str],
        max_bytes: int,
        meter: Meter,
    ) -> None:
        self._store = store
        self._jobs = InOrder(pool)
        self._small_blobs = small_blobs
        self._algorithms = tuple(expected_algorithms)
        self._max_bytes = max_bytes
        self._meter = meter
        self._batch: list[bytes | memoryview] = []
        self._batched = 0
        self._writer: BlobWriter | None = None
        self._hasher: Hasher
        self._decoded: DecodedDigests | None = None
        self._under_way: deque[Future[Any]] = deque()
        # Set by the worker: a blob of which a batch is missing must not get another.
        self._failure: Exception | None = None

    async def start(self, head: Head) -> None:
        """See Sink.start."""
        await self._settle()
        if self._writer is not None:
            await self._work(self._writer.restart)
        self._batch, self._batched = [], 0
        self._hasher = Hasher(self._algorithms)
        coding = head.headers.get("Content-Encoding", "").strip().lower()
        decodable = bool(self._algorithms) and DecodedDigests.is_known(coding)
        self._decoded = DecodedDigests(coding, self._algorithms, self._max_bytes) if decodable else None
        self._meter.received_bytes, self._meter.total_bytes = 0, head.content_length

    def write(self, data: bytes | memoryview) -> bool:
        """See Sink.write."""
        self._batch.append(data)
        self._batched += len(data)
        self._meter.received_bytes += len(data)
        return self._batched >= BATCH_BYTES

    async def drain(self) -> None:
        """See Sink.drain."""
        batch, self._batch, self._batched = self._batch, [], 0
        self._under_way.append(self._jobs.submit(lambda: self._store_batch(batch)))
        await self._settle(WAITING_BATCHES)

    async def finish(self, check: Callable[[Digests], None]) -> Digests:
        """Commit the blob if ``check`` does not raise; return the digests.

        Raises:
            StorageError, and what ``check`` raises.
        """
        await self._settle()
        if self._writer is None and self._batched <= SMALL_BYTES:
            return await self._finish_small(check)
        digests, writer = await self._work(lambda: self._complete(check))
        await self._store_patiently(lambda: self._work(lambda: writer.commit(digests.raw["sha256"])))
        return digests

    async def _finish_small(self, check: Callable[[Digests], None]) -> Digests:
        content = b"".join(self._batch)
        self._hash(content)
        digests = self._digests()
        check(digests)
        await self._store_patiently(lambda: self._small_blobs.commit(digests.raw["sha256"], content))
        return digests

    async def _store_patiently(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Try until the store can be reached: what has come is not fetched again because it is away.

        Raises StorageError: for any other fault, and when it is away for too long.
        """
        until = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                await commit()
            except UnreachableError:
                if time.monotonic() > until:
                    raise
                self._meter.on_store_away()
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    def discard(self) -> None:
        """Forget what was not committed, as soon as the worker is done with it."""
        for future in self._under_way:
            future.cancel()  # what has not begun
        if self._writer is not None or self._under_way:
            self._jobs.submit(self._forget)

    def _forget(self) -> None:
        if self._writer is not None:
            self._writer.discard()

    async def _settle(self, left: int = 0) -> None:
        """Return when at most so many jobs are under way; raise what those that are done have raised."""
        while self._under_way and (len(self._under_way) > left or self._under_way[0].done()):
            await asyncio.wrap_future(self._under_way[0])
            self._under_way.popleft()

    async def _work(self, function: Callable[[], T]) -> T:
        future = self._jobs.submit(function)
        self._under_way.append(future)
        result = await asyncio.wrap_future(future)
        self._under_way.clear()
        return result

    def _store_batch(self, batch: list[bytes | memoryview]) -> BlobWriter:
        # In a worker thread. Small pieces are joined, as each step takes the interpreter's lock anew.
        if self._failure is not None:
            raise self._failure
        try:
            return self._write(batch)
        except Exception as error:
            self._failure = error
            raise

    def _write(self, batch: list[bytes | memoryview]) -> BlobWriter:
        is_fine = len(batch) * WORTH_JOINING_BYTES > sum(map(len, batch))
        if self._writer is None:
            self._writer = self._store.create()
        for data in [b"".join(batch)] if is_fine else batch:
            self._hash(data)
            self._writer.write(data)
        return self._writer

    def _hash(self, data: bytes | memoryview) -> None:
        self._hasher.update(data)
        if self._decoded is not None:
            self._decoded.update(data)

    def _digests(self) -> Digests:
        return Digests(self._hasher.hex_digests(), self._decoded.hex_digests() if self._decoded is not None else {})

    def _complete(self, check: Callable[[Digests], None]) -> tuple[Digests, BlobWriter]:
        writer = self._store_batch(self._batch)
        digests = self._digests()
        check(digests)
        return digests, writer
