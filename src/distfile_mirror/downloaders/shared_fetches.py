"""Blobs that several images want at the same time are fetched once, and counted for each of them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from distfile_mirror.catalog.image_facts import FoundBlob
from distfile_mirror.downloaders.blob_sink import Meter
from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.model.digests import Digest

# A size that another manifest invents must not spoil the fetch of the true one.
Key = tuple[Digest, int]


@dataclass(slots=True)
class Tally:
    """The bytes of one blob so far, shown on the meters of all that wait for it."""

    received: int = 0
    meters: list[Meter] = field(default_factory=list)

    def count(self, more: int) -> None:
        """So many ``more`` bytes are there; negative: they are void."""
        self.received += more
        for meter in self.meters:
            meter.received_bytes += more

    def store_away(self) -> None:
        """Tell on each meter that the store could not be reached."""
        for meter in self.meters:
            meter.on_store_away()

    def show_on(self, meter: Meter) -> None:
        """Count on ``meter`` too, what there is already included."""
        self.meters.append(meter)
        meter.received_bytes += self.received


@dataclass(slots=True)
class _Fetch:
    task: asyncio.Task[FoundBlob]
    tally: Tally
    waiting: int = 0


class SharedFetches:
    """The fetches under way in this process."""

    def __init__(self) -> None:
        self._running: dict[Key, _Fetch] = {}

    async def get(
        self, key: Key, meter: Meter, fetch: Callable[[Tally], Coroutine[None, None, FoundBlob]]
    ) -> FoundBlob:
        """Return what ``fetch`` gives, or what a fetch of the same ``key`` gives that is under way.

        Where that one fails, which may ask another registry, ``fetch`` is called after all. It is
        cancelled when nobody waits for it any more. Raises what ``fetch`` raises.
        """
        while (running := self._running.get(key)) is not None:
            try:
                return await self._wait(key, running, meter)
            except (TransientFetchError, PermanentFetchError):
                continue
        tally = Tally()
        running = _Fetch(asyncio.create_task(_undone_if_failed(fetch, tally)), tally)
        self._running[key] = running
        running.task.add_done_callback(lambda _task: self._forget(key, running))
        return await self._wait(key, running, meter)

    async def _wait(self, key: Key, running: _Fetch, meter: Meter) -> FoundBlob:
        running.tally.show_on(meter)
        running.waiting += 1
        try:
            await asyncio.wait([running.task])
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                self._forget(key, running)
                running.task.cancel()
                await asyncio.wait([running.task])
        return running.task.result()

    def _forget(self, key: Key, fetch: _Fetch) -> None:
        if self._running.get(key) is fetch:
            del self._running[key]


async def _undone_if_failed(fetch: Callable[[Tally], Coroutine[None, None, FoundBlob]], tally: Tally) -> FoundBlob:
    try:
        return await fetch(tally)
    except BaseException:
        tally.count(-tally.received)
        raise
