"""Fetching one claimed file: the primary URI, then the fallbacks, into the blob store and verified on the way."""

import asyncio
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog import queue
from distfile_mirror.downloaders.blob_sink import BlobSink, Meter
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.loop import DownloadLoop
from distfile_mirror.downloaders.owners import Owner, release_dead_owners
from distfile_mirror.downloaders.replay import headers_to_replay
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.small_blobs import SmallBlobs
from distfile_mirror.downloaders.verify import verify
from distfile_mirror.errors import PermanentFetchError, StorageError, TransientFetchError
from distfile_mirror.upstream.http import Upstream
from distfile_mirror.upstream.settings import UpstreamSettings

HOUSEKEEPING_SECONDS = 600

log = structlog.get_logger()


async def run_file_downloader(
    *,
    store: BlobStore,
    settings: LoopSettings,
    upstream: UpstreamSettings,
    run_dir: Path,
    watch: bool,
    stop: asyncio.Event,
) -> Summary:
    """Download files: all that is due now, or with ``watch`` whatever comes until ``stop`` is set.

    Django must be configured. What dead downloaders of this machine left is taken over first.

    Raises:
        MirrorError: if the settings cannot be used, such as a CA file without certificates.
        OSError: if ``run_dir`` cannot be written.
    """
    async with AsyncExitStack() as stack:
        owner = stack.enter_context(Owner(run_dir))
        catalog = await stack.enter_async_context(CatalogThread())
        pool = stack.enter_context(ThreadPoolExecutor(settings.concurrency, "blobs"))
        client = await stack.enter_async_context(Upstream(upstream))
        fetcher = FileFetcher(store=store, upstream=client, pool=pool, max_bytes=upstream.max_bytes)
        await catalog.patiently(partial(release_dead_owners, run_dir, queue.release_owner), stop)
        chores = asyncio.create_task(_keep_house(store))
        stack.push_async_callback(_cancel, chores)
        loop = DownloadLoop(
            owner=owner.name, queue=queue, catalog=catalog, fetch=fetcher.fetch, settings=settings, stop=stop
        )
        return await loop.run(watch=watch)


class FileFetcher:
    """Fetches claimed files. ``pool`` has a thread for each of them; ``max_bytes`` bounds what is decoded, too."""

    def __init__(self, *, store: BlobStore, upstream: Upstream, pool: Executor, max_bytes: int) -> None:
        self._store = store
        self._upstream = upstream
        self._pool = pool
        self._max_bytes = max_bytes
        self._small_blobs = SmallBlobs(store, pool)

    async def fetch(self, claim: queue.Claim, meter: Meter) -> queue.Fetched:
        """Fetch, verify and commit ``claim``; ``meter`` shows how far it is.

        Raises:
            TransientFetchError: if any of its URIs may work later.
            PermanentFetchError: if none will by itself.
            StorageError: if the blob store failed, which is no URI's fault.
        """
        errors: list[TransientFetchError | PermanentFetchError] = []
        for uri in (claim.uri, *claim.fallback_uris):
            try:
                return await self._fetch_from(uri, claim, meter)
            except (TransientFetchError, PermanentFetchError) as error:
                errors.append(error)
        raise _summed_up(errors)

    async def _fetch_from(self, uri: str, claim: queue.Claim, meter: Meter) -> queue.Fetched:
        begin = time.monotonic()
        sink = BlobSink(
            self._store,
            self._pool,
            self._small_blobs,
            expected_algorithms=claim.expected,
            max_bytes=self._max_bytes,
            meter=meter,
        )
        try:
            received = await self._upstream.fetch(uri, sink, checked=bool(claim.expected))
            head, size = received.head, received.size
            meter.on_transferred()
            digests = await sink.finish(partial(verify, claim.expected, uri=uri, head=head, size=size))
        finally:
            sink.discard()
        log.info("fetched", uri=uri, bytes=size, seconds=round(time.monotonic() - begin, 3))
        return queue.Fetched(
            row_id=claim.row_id,
            sha256=digests.raw["sha256"],
            size=size,
            digests=digests.raw,
            headers=headers_to_replay(head.headers),
            final_uri=head.final_uri,
            decoded_digests=digests.decoded,
        )


def _summed_up(errors: list[TransientFetchError | PermanentFetchError]) -> TransientFetchError | PermanentFetchError:
    """Make one error of those of each URI: it may pass if any of them may."""
    first = errors[0]
    if len(errors) == 1:
        return first
    message = "no source has it: " + "; then ".join(map(str, errors))
    if not any(isinstance(error, TransientFetchError) for error in errors):
        return PermanentFetchError(message)
    # Only the first URI's host is left alone: rows are sorted by it.
    return TransientFetchError(message, retry_after=getattr(first, "retry_after", None))


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
