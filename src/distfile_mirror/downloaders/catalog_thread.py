"""All calls of a downloader to the catalog, one after the other: one connection, one writer, no waiting loop."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import structlog

from distfile_mirror.catalog.database import disconnect
from distfile_mirror.downloaders.side_process import Caller, here
from distfile_mirror.errors import UnavailableError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

log = structlog.get_logger()


class CatalogThread:
    """The thread. It remembers whether the database was away, to say so once and not with every call.

    With ``may_be_back`` it was, perhaps, until now. ``caller`` makes the calls: here, or in a side process.
    """

    def __init__(self, caller: Caller = here, *, may_be_back: bool = False) -> None:
        self._caller = caller
        self._executor = ThreadPoolExecutor(1, "catalog")
        self._pause = 0.0
        self._back_at = time.monotonic() if may_be_back else float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._caller, disconnect)
        self._executor.shutdown()

    async def call(self, function: Callable[[], T]) -> T:
        """Call ``function`` in the thread. Raises UnavailableError, logged if it is news, and what it raises else."""
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._executor, self._caller, function)
        except UnavailableError as error:
            if not self._pause:
                log.warning("the catalog is away; downloads go on, and are recorded later", error=str(error))
            self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            raise
        if self._pause:
            log.info("the catalog is back")
            self._pause = 0.0
            self._back_at = time.monotonic()
        return result

    @property
    def pause(self) -> float:
        """Seconds to wait before calling again: 0 while the database answers, longer with each failed call."""
        return self._pause

    def has_answered_for(self, seconds: float) -> bool:
        """Tell whether the database has not been away for so long, as far as this process knows."""
        return not self._pause and time.monotonic() - self._back_at >= seconds

    async def patiently(self, function: Callable[[], T], stop: asyncio.Event) -> T | None:
        """Call ``function`` until the database answers; return None if ``stop`` is set before."""
        while not stop.is_set():
            try:
                return await self.call(function)
            except UnavailableError:
                await wait_for_event(stop, self._pause)
        return None


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Return when ``event`` is set, or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
