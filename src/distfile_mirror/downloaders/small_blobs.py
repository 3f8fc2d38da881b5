"""Small blobs on their way into the store, many at a time: while some are made permanent, the next ones gather."""

import asyncio
from concurrent.futures import Executor
from functools import partial

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.downloaders.side_process import Caller, here

# Of one blob, and of how many at a time: what is held in memory is bounded by both.
SMALL_BYTES = 1 << 16
MOST_AT_ONCE = 64


class SmallBlobs:
    """Stores small blobs of one event loop in ``pool``, one batch after the other; ``caller`` calls the store."""

    def __init__(self, store: BlobStore, pool: Executor, caller: Caller = here) -> None:
        self._caller = caller
        self._store = store
        self._pool = pool
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def commit(self, sha256: str, content: bytes) -> None:
        """Return when ``content`` is permanent under ``sha256``. Raises StorageError."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((sha256, content, future))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_waiting())
        await future

    async def _store_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            contents = {sha256: content for sha256, content, _future in batch}
            problem: Exception | None = None
            try:
                store = partial(self._store.store_together, contents)
                await loop.run_in_executor(self._pool, self._caller, store)
            except Exception as error:  # noqa: BLE001 - it is raised where each blob is waited for
                problem = error
            for _sha256, _content, future in batch:
                if future.cancelled():
                    continue
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(problem)
        self._storing = None
