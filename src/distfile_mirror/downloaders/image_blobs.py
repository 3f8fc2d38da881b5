"""One blob of an image: there already, embedded in its manifest, or fetched, verified and committed."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import structlog

from distfile_mirror.blobs.store import BlobMissingError
from distfile_mirror.catalog.image_facts import FetchedBlob, FoundBlob, ImageClaim
from distfile_mirror.downloaders.blob_sink import BlobSink, Meter
from distfile_mirror.downloaders.running import Tools
from distfile_mirror.downloaders.shared_fetches import SharedFetches, Tally
from distfile_mirror.downloaders.sources import from_first
from distfile_mirror.downloaders.verify_blob import check_size, verify_blob
from distfile_mirror.errors import PermanentFetchError, UnavailableError
from distfile_mirror.model.manifests import Descriptor
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.registry import RegistryClient
from distfile_mirror.upstream.settings import Head, Received

STORE_ALGORITHM = "sha256"

T = TypeVar("T")

log = structlog.get_logger()


class KnownBlobs(Protocol):
    """Which blobs the store has under digests other than its own; the module catalog.image_queue is one."""

    def known_blob(self, digest: str) -> FoundBlob | None:
        """Return what is known of a digest. Raises UnavailableError."""

    def remember_blob(self, digest: str, sha256: str, size: int) -> None:
        """Note a blob that is stored. Raises UnavailableError."""


class BlobFetcher:
    """Sees to it that blobs are stored."""

    def __init__(self, tools: Tools, registries: RegistryClient, known: KnownBlobs) -> None:
        self._tools = tools
        self._registries = registries
        self._known = known
        self._shared = SharedFetches()

    async def fetch(self, claim: ImageClaim, descriptor: Descriptor, meter: Meter) -> FetchedBlob:
        """Return the blob that ``descriptor`` describes when it is stored; its bytes are counted on ``meter``.

        Raises:
            TransientFetchError, PermanentFetchError: if it cannot be had now, or at all.
            StorageError: if the blob store failed.
        """
        key = descriptor.digest, descriptor.size
        found = await self._shared.get(key, meter, partial(self._find_or_fetch, claim, descriptor))
        return FetchedBlob(
            digest=str(descriptor.digest),
            sha256=found.sha256,
            size=found.size,
            media_type=descriptor.media_type,
            role=descriptor.role,
        )

    async def _find_or_fetch(self, claim: ImageClaim, descriptor: Descriptor, tally: Tally) -> FoundBlob:
        found = await self._find(descriptor)
        if found is not None:
            check_size(descriptor, found.size, "once gave")
            tally.count(found.size)
            return found
        if descriptor.data is not None:
            found = await self._store_embedded(descriptor, descriptor.data, tally)
        else:
            # Foreign layers may be in the registry all the same, which is nearer to the truth than their addresses.
            fetch = partial(self._fetch_from, claim=claim, descriptor=descriptor, tally=tally)
            found = await from_first((None, *descriptor.urls), fetch)
        if descriptor.digest.algorithm != STORE_ALGORITHM:
            await self._ask_catalog(
                partial(self._known.remember_blob, str(descriptor.digest), found.sha256, found.size)
            )
        return found

    async def _find(self, descriptor: Descriptor) -> FoundBlob | None:
        sha256 = descriptor.digest.hex
        if descriptor.digest.algorithm != STORE_ALGORITHM:
            known = await self._ask_catalog(partial(self._known.known_blob, str(descriptor.digest)))
            if known is None:
                return None
            sha256 = known.sha256
        size = await asyncio.get_running_loop().run_in_executor(self._tools.pool, self._stored_size, sha256)
        return None if size is None else FoundBlob(sha256, size)

    def _stored_size(self, sha256: str) -> int | None:
        try:
            return self._tools.store.size(sha256)
        except BlobMissingError:
            return None

    async def _ask_catalog(self, call: Callable[[], T]) -> T | None:
        try:
            return await self._tools.catalog.call(call)
        except UnavailableError:
            return None  # it spares a download at best; downloads go on without the catalog

    async def _fetch_from(
        self, url: str | None, *, claim: ImageClaim, descriptor: Descriptor, tally: Tally
    ) -> FoundBlob:
        """Fetch it from its foreign address ``url``, or from the registry."""
        sink = _DescribedSink(self._new_sink(descriptor, tally), descriptor, tally)
        try:
            if url is None:
                received = await self._registries.fetch_blob(claim.registry, claim.repository, descriptor, sink)
            else:
                received = await self._tools.upstream.fetch(_checked(url), sink, checked=True, by_digest=True)
            return await sink.finish(received)
        finally:
            sink.discard()

    async def _store_embedded(self, descriptor: Descriptor, data: bytes, tally: Tally) -> FoundBlob:
        head = Head(200, "", {"Content-Length": str(len(data))}, "")
        sink = _DescribedSink(self._new_sink(descriptor, tally), descriptor, tally)
        try:
            await sink.start(head)
            sink.write(data)
            return await sink.finish(Received(head, len(data)))
        finally:
            sink.discard()

    def _new_sink(self, descriptor: Descriptor, tally: Tally) -> BlobSink:
        return BlobSink(
            self._tools.store,
            self._tools.pool,
            self._tools.small_blobs,
            expected_algorithms={descriptor.digest.algorithm} - {STORE_ALGORITHM},
            max_bytes=self._tools.max_bytes,
            meter=Meter(on_store_away=tally.store_away),
        )


class _DescribedSink:
    """A Sink that takes as many bytes as the manifest says, and no more."""

    def __init__(self, inner: BlobSink, descriptor: Descriptor, tally: Tally) -> None:
        self._inner = inner
        self._descriptor = descriptor
        self._tally = tally

    async def start(self, head: Head) -> None:
        """See Sink.start."""
        if head.content_length is not None:
            check_size(self._descriptor, head.content_length, "has")
        self._tally.count(-self._tally.received)
        await self._inner.start(head)

    def write(self, data: bytes | memoryview) -> bool:
        """See Sink.write."""
        self._tally.count(len(data))
        return self._inner.write(data) or self._tally.received > self._descriptor.size

    async def drain(self) -> None:
        """See Sink.drain."""
        if self._tally.received > self._descriptor.size:
            check_size(self._descriptor, self._tally.received, "gave at least")
        await self._inner.drain()

    async def finish(self, received: Received) -> FoundBlob:
        """Commit what came if it is what was described. Raises as verify_blob, and StorageError."""
        digests = await self._inner.finish(lambda found: verify_blob(self._descriptor, found, received))
        return FoundBlob(digests.raw[STORE_ALGORITHM], received.size)

    def discard(self) -> None:
        """Forget what was not committed."""
        self._inner.discard()


def _checked(url: str) -> str:
    try:
        return str(parse_file_uri(url))
    except ValueError as error:
        raise PermanentFetchError(f"the manifest gives an address that cannot be asked: {error}") from None
