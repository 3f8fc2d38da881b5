"""Has damaged blobs again, from where they came: only the very same bytes are a repair.

What is stored is looked at first. Were wrong bytes left in their place, the right ones would seem to be there already.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, BlobStore
from distfile_mirror.catalog import care, damage
from distfile_mirror.catalog.damage import Repair
from distfile_mirror.downloaders.metrics import REPAIRS
from distfile_mirror.downloaders.running import Tools
from distfile_mirror.errors import MirrorError, StorageError, UnavailableError

SECONDS = 5.0
AT_ONCE = 4
LEASE = timedelta(seconds=120)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=12)

# The source of what was in its place already.
STORED = "the blob store"

# Has the blob of a repair again, from one source of it: returns the source's name and the sha256 of what came.
Source = Callable[[], Awaitable[tuple[str, str]]]

log = structlog.get_logger()


class Repairs:
    """A chore of a downloader named ``owner``; ``sources`` gives for a repair where to try, in order."""

    def __init__(
        self, tools: Tools, owner: str, *, of_images: bool, sources: Callable[[Repair], Iterator[Source]]
    ) -> None:
        self._tools = tools
        self._owner = owner
        self._of_images = of_images
        self._sources = sources
        self._under_way: set[str] = set()

    async def watch(self) -> None:
        """Repair whatever comes, until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(SECONDS)

    async def once(self) -> None:
        """Repair what is due now."""
        try:
            if not await self._tools.catalog.call(care.is_ready):
                return
            claim = partial(damage.claim_repairs, of_images=self._of_images, limit=AT_ONCE, lease=LEASE)
            while repairs := await self._tools.catalog.call(claim):
                self._under_way = {repair.sha256 for repair in repairs}
                keeping = asyncio.create_task(self._keep())
                try:
                    await asyncio.gather(*map(self._repair, repairs))
                finally:
                    keeping.cancel()
        except UnavailableError as error:
            log.warning("damaged blobs are not repaired now", reason=str(error))

    async def _keep(self) -> None:
        """Renew the leases of what is under way, until cancelled."""
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            with suppress(UnavailableError):  # then others may begin it, too: it would come to the same
                await self._tools.catalog.call(partial(damage.keep_repairs, frozenset(self._under_way), lease=LEASE))

    async def _repair(self, repair: Repair) -> None:
        problems: list[str] = []
        name = await self._has_again(repair, problems)
        if name is not None:
            REPAIRS.labels("repaired").inc()
            log.info("repaired a damaged blob", sha256=repair.sha256, source=name)
            done = partial(damage.record_repair, repair.sha256, actor=self._owner, source=name)
            await self._tools.catalog.call(done)
            return
        REPAIRS.labels("failed").inc()
        self._under_way.discard(repair.sha256)
        message = "; then ".join(problems) or "no declaration says where these bytes come from"
        log.error("a damaged blob cannot be repaired now", sha256=repair.sha256, reason=message)
        again_in = min(FIRST_PAUSE * 2 ** min(repair.attempts, 20), LONGEST_PAUSE)
        failed = partial(damage.record_failed_repair, repair.sha256, f"Not repaired: {message}", again_in=again_in)
        await self._tools.catalog.call(failed)

    async def _has_again(self, repair: Repair, problems: list[str]) -> str | None:
        """Return where the right bytes came from, or None, and why not in ``problems``."""
        loop = asyncio.get_running_loop()
        try:
            if await loop.run_in_executor(self._tools.pool, clear_place, self._tools.store, repair.sha256):
                return STORED
        except StorageError as error:
            problems.append(str(error))
            return None
        for source in self._sources(repair):
            try:
                name, sha256 = await source()
            except MirrorError as error:
                problems.append(str(error))
                continue
            if sha256 == repair.sha256:
                return name
            problems.append(f"{name} has other bytes now, with sha256 {sha256}")
        return None


def clear_place(store: BlobStore, sha256: str) -> bool:
    """Return True if the right bytes are stored after all, as from a backup; wrong ones are set aside.

    Raises:
        StorageError: if that cannot be done now.
    """
    try:
        store.verify(sha256)
    except BlobMissingError:
        return False
    except BlobCorruptError:
        pass
    except StorageError:
        store.check()  # so it is about this blob alone, such as sectors that cannot be read
    else:
        return True
    store.set_aside(sha256)
    return False
