"""What every downloader is built of, whatever it downloads: an owner, a thread for the catalog, threads for blobs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.downloaders.backlog import Claimed
from distfile_mirror.downloaders.blob_sink import Meter
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.loop import DownloadLoop, Queue
from distfile_mirror.downloaders.owners import Owner
from distfile_mirror.downloaders.recorder import RowOutcome
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.side_process import Callers
from distfile_mirror.downloaders.small_blobs import SmallBlobs
from distfile_mirror.downloaders.take_over import Estate, take_over
from distfile_mirror.downloaders.unrecorded import Unrecorded
from distfile_mirror.errors import StorageError
from distfile_mirror.upstream.http import Upstream
from distfile_mirror.upstream.settings import UpstreamSettings

HOUSEKEEPING_SECONDS = 600
CHORE_PAUSE_SECONDS = 60

C = TypeVar("C", bound=Claimed)
F = TypeVar("F", bound=RowOutcome)
F_co = TypeVar("F_co", bound=RowOutcome, covariant=True)

log = structlog.get_logger()


class OwnedQueue(Queue[C, F], Estate[F], Protocol[C, F]):
    """A queue whose rows can be taken over from the dead."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a fetcher works with. ``pool`` has threads for what blocks; ``max_bytes`` bounds one blob.

    In ``unrecorded`` it notes what has come, before that is stored.
    """

    store: BlobStore
    upstream: Upstream
    catalog: CatalogThread
    pool: Executor
    small_blobs: SmallBlobs
    max_bytes: int
    unrecorded: Unrecorded


class Chore(Protocol):
    """What a downloader does beside downloading."""

    async def watch(self) -> None:
        """Do it for ever, until cancelled."""

    async def once(self) -> None:
        """Do what is due now, unless cancelled before."""


@dataclass(frozen=True, slots=True)
class Work(Generic[C, F_co]):
    """What a kind of downloader does: ``fetch`` as the loop has it, and its chores."""

    fetch: Callable[[C, Meter], Awaitable[F_co]]
    chores: Sequence[Chore] = ()


async def run_downloader(
    *,
    kind: str,
    queue: OwnedQueue[C, F],
    make_work: Callable[[Tools, str], Work[C, F]],
    owners: Path,
    store: BlobStore,
    settings: LoopSettings,
    upstream: UpstreamSettings,
    watch: bool,
    stop: asyncio.Event,
    callers: Callers,
) -> Summary:
    """Download what ``queue`` has of a ``kind`` of artifact.

    All that is due now, or with ``watch`` whatever comes until ``stop`` is set.

    What dead downloaders of this machine left, whose locks are in the folder ``owners``, is taken over first.
    ``make_work`` is given the tools and this downloader's name.

    Raises:
        MirrorError: if the settings cannot be used, such as a CA file without certificates.
        OSError: if ``owners`` cannot be written.
    """
    async with AsyncExitStack() as stack:
        owner = stack.enter_context(Owner(owners))
        # Who runs now and then may not be there any more when a lease's time has passed.
        catalog = await stack.enter_async_context(CatalogThread(callers.catalog, may_be_back=watch))
        pool = stack.enter_context(ThreadPoolExecutor(settings.concurrency, "blobs"))
        client = await stack.enter_async_context(Upstream(upstream))
        small_blobs, unrecorded = SmallBlobs(store, pool, callers.blobs), Unrecorded(owner.fd)
        tools = Tools(store, client, catalog, pool, small_blobs, upstream.max_bytes, unrecorded)
        await take_over(owners, queue=queue, catalog=catalog, store=store, stop=stop)
        work = make_work(tools, owner.name)
        for chore in (lambda: _keep_house(store), *(each.watch for each in work.chores if watch)):
            stack.push_async_callback(_cancel, asyncio.create_task(_go_on_with(chore)))
        loop = DownloadLoop(
            owner=owner.name,
            kind=kind,
            queue=queue,
            catalog=catalog,
            fetch=work.fetch,
            settings=settings,
            unrecorded=unrecorded,
            stop=stop,
        )
        summary = await loop.run(watch=watch)
        if not watch:
            for each in work.chores:
                await _until(stop, each.once())
        return summary


async def _until(stop: asyncio.Event, chore: Coroutine[None, None, None]) -> None:
    """Do ``chore``, and leave off when ``stop`` is set."""
    tasks = [asyncio.ensure_future(chore), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not tasks[0].cancelled():
        tasks[0].result()


async def _go_on_with(chore: Callable[[], Awaitable[None]]) -> None:
    """Do ``chore`` until cancelled: should it fail by a fault of ours, it begins anew after a while."""
    while True:
        try:
            await chore()
        except Exception:
            log.exception("a chore has failed; it begins anew", pause=CHORE_PAUSE_SECONDS)
        await asyncio.sleep(CHORE_PAUSE_SECONDS)


async def _keep_house(store: BlobStore) -> None:
    """Remove, now and then, what dead processes left half-written."""
    while True:
        try:
            removed = await asyncio.to_thread(store.remove_abandoned)
        except StorageError as error:
            log.warning("half-written blobs could not be removed", error=str(error))
        else:
            if removed:
                log.info("removed half-written blobs of dead processes", blobs=removed)
        await asyncio.sleep(HOUSEKEEPING_SECONDS)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
