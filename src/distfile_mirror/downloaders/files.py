"""Fetching one claimed file: the primary URI, then the fallbacks, into the blob store and verified on the way."""

import asyncio
import time
from functools import partial
from pathlib import Path

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog import queue
from distfile_mirror.downloaders.blob_sink import BlobSink, Meter
from distfile_mirror.downloaders.fetched_log import FetchedLog
from distfile_mirror.downloaders.owners import FILE_DOWNLOADERS
from distfile_mirror.downloaders.replay import headers_to_replay
from distfile_mirror.downloaders.running import Tools, run_downloader
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.sources import from_first
from distfile_mirror.downloaders.verify import verify
from distfile_mirror.upstream.settings import UpstreamSettings


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

    Django must be configured. Raises as run_downloader; ``run_dir`` must be writable.
    """
    return await run_downloader(
        queue=queue,
        make_fetch=lambda tools: FileFetcher(tools).fetch,
        owners=run_dir / FILE_DOWNLOADERS,
        store=store,
        settings=settings,
        upstream=upstream,
        watch=watch,
        stop=stop,
    )


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
        fetch = partial(self._fetch_from, claim=claim, meter=meter)
        return await from_first((claim.uri, *claim.fallback_uris), fetch)

    async def _fetch_from(self, uri: str, claim: queue.Claim, meter: Meter) -> queue.Fetched:
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
            head, size = received.head, received.size
            meter.on_transferred()
            digests = await sink.finish(partial(verify, claim.expected, uri=uri, head=head, size=size))
        finally:
            sink.discard()
        self._log.add(uri, size, time.monotonic() - begin)
        return queue.Fetched(
            row_id=claim.row_id,
            sha256=digests.raw["sha256"],
            size=size,
            digests=digests.raw,
            headers=headers_to_replay(head.headers),
            final_uri=head.final_uri,
            decoded_digests=digests.decoded,
        )
