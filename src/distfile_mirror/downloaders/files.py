"""Fetching one claimed file: the primary URI, then the fallbacks, into the blob store and verified on the way."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog import queue
from distfile_mirror.catalog.damage import Repair
from distfile_mirror.downloaders.blob_sink import BlobSink, Meter
from distfile_mirror.downloaders.fetched_log import FetchedLog
from distfile_mirror.downloaders.owners import FILE_DOWNLOADERS
from distfile_mirror.downloaders.repairs import Repairs, Source
from distfile_mirror.downloaders.replay import headers_to_replay
from distfile_mirror.downloaders.running import Tools, Work, run_downloader
from distfile_mirror.downloaders.settings import NO_CHECKS, CheckSettings, LoopSettings, Summary
from distfile_mirror.downloaders.side_process import HERE, Callers
from distfile_mirror.downloaders.sources import from_first
from distfile_mirror.downloaders.upstream_checks import UpstreamChecks
from distfile_mirror.downloaders.verify import Digests, verify
from distfile_mirror.upstream.settings import Received, UpstreamSettings

Note = Callable[[queue.Fetched], None]


async def run_file_downloader(
    *,
    store: BlobStore,
    settings: LoopSettings,
    upstream: UpstreamSettings,
    run_dir: Path,
    watch: bool,
    stop: asyncio.Event,
    checks: CheckSettings = NO_CHECKS,
    callers: Callers = HERE,
) -> Summary:
    """Download files: all that is due now, or with ``watch`` whatever comes until ``stop`` is set.

    Upstreams are asked after what is stored, too: without ``watch`` a few of them. Django must be configured. Raises
    as run_downloader; ``run_dir`` must be writable.
    """
    return await run_downloader(
        kind="file",
        queue=queue,
        make_work=lambda tools, owner: _work(tools, owner, checks),
        owners=run_dir / FILE_DOWNLOADERS,
        store=store,
        settings=settings,
        upstream=upstream,
        watch=watch,
        stop=stop,
        callers=callers,
    )


def _work(tools: Tools, owner: str, checks: CheckSettings) -> Work[queue.Claim, queue.Fetched]:
    fetcher = FileFetcher(tools)

    def sources(repair: Repair) -> Iterator[Source]:
        return (partial(_fetch_again, fetcher, claim) for claim in repair.files)

    return Work(
        fetcher.fetch,
        (
            Repairs(tools, owner, of_images=False, sources=sources),
            UpstreamChecks(tools, owner, seconds=checks.seconds, again_after=checks.again_after),
        ),
    )


async def _fetch_again(fetcher: "FileFetcher", claim: queue.Claim) -> tuple[str, str]:
    """Return the source and the sha256 of what came; see repairs.Source."""
    found = await fetcher.fetch_again(claim)
    return found.final_uri, found.sha256


class FileFetcher:
    """Fetches claimed files. The pool of ``tools`` has a thread for each of them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._log = FetchedLog()

    async def fetch(self, claim: queue.Claim, meter: Meter) -> queue.Fetched:
        """Fetch, verify and commit ``claim``; ``meter`` shows how far it is.

        Raises:
            TransientFetchError: if any of its URIs may work later.
            PermanentFetchError: if none will by itself.
            StorageError: if the blob store failed, which is no URI's fault.
        """
        return await self._fetch(claim, meter, self._tools.unrecorded.add)

    async def fetch_again(self, claim: queue.Claim) -> queue.Fetched:
        """Do the same for what is recorded already. Raises as fetch."""
        return await self._fetch(claim, Meter(), lambda _fetched: None)

    async def _fetch(self, claim: queue.Claim, meter: Meter, note: Note) -> queue.Fetched:
        fetch = partial(self._fetch_from, claim=claim, meter=meter, note=note)
        return await from_first((claim.uri, *claim.fallback_uris), fetch)

    async def _fetch_from(self, uri: str, claim: queue.Claim, meter: Meter, note: Note) -> queue.Fetched:
        begin = time.monotonic()
        sink = BlobSink(
            self._tools.store,
            self._tools.pool,
            self._tools.small_blobs,
            expected_algorithms=claim.expected,
            max_bytes=self._tools.max_bytes,
            meter=meter,
        )
        try:
            received = await self._tools.upstream.fetch(uri, sink, checked=bool(claim.expected))
            meter.on_transferred()
            digests = await sink.finish(partial(_check, claim, uri, received, note))
        finally:
            sink.discard()
        self._log.add(uri, received.size, time.monotonic() - begin)
        return _fetched(claim, received, digests)


def _check(claim: queue.Claim, uri: str, received: Received, note: Note, digests: Digests) -> None:
    """Verify what has come, and note it: to store it may take a while."""
    verify(claim.expected, digests, uri=uri, head=received.head, size=received.size)
    note(_fetched(claim, received, digests))


def _fetched(claim: queue.Claim, received: Received, digests: Digests) -> queue.Fetched:
    return queue.Fetched(
        row_id=claim.row_id,
        sha256=digests.raw["sha256"],
        size=received.size,
        digests=digests.raw,
        headers=headers_to_replay(received.head.headers),
        final_uri=received.head.final_uri,
        decoded_digests=digests.decoded,
    )
