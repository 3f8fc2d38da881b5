"""Fetching one claimed image: its manifests, then all that they need, verified on the way.

An image is present only when all of it is: what one attempt has stored is kept, and the next one
goes on from there.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog import image_queue
from distfile_mirror.catalog.damage import RegistrySource, Repair
from distfile_mirror.catalog.image_facts import FetchedBlob, FetchedImage, FetchedManifest, ImageClaim
from distfile_mirror.downloaders.blob_sink import Meter
from distfile_mirror.downloaders.image_blobs import BlobFetcher, KnownBlobs
from distfile_mirror.downloaders.image_referrers import find_referrers
from distfile_mirror.downloaders.manifest_tree import (
    EVERYTHING,
    ManifestTree,
    Part,
    check_choice,
    own_manifest,
    subjects,
)
from distfile_mirror.downloaders.owners import IMAGE_DOWNLOADERS
from distfile_mirror.downloaders.parallel import in_parallel
from distfile_mirror.downloaders.repairs import Repairs, Source
from distfile_mirror.downloaders.running import Tools, Work, run_downloader
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.side_process import HERE, Callers
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.digests import parse_digest
from distfile_mirror.model.manifests import Descriptor
from distfile_mirror.model.platforms import NONE, parse_choice
from distfile_mirror.upstream.registry import RegistryClient, RegistrySettings
from distfile_mirror.upstream.registry_statuses import with_message
from distfile_mirror.upstream.settings import UpstreamSettings

log = structlog.get_logger()


async def run_image_downloader(
    *,
    store: BlobStore,
    settings: LoopSettings,
    upstream: UpstreamSettings,
    registries: RegistrySettings,
    run_dir: Path,
    watch: bool,
    stop: asyncio.Event,
    callers: Callers = HERE,
) -> Summary:
    """Download images: all that is due now, or with ``watch`` whatever comes until ``stop`` is set.

    Django must be configured. Raises as run_downloader; ``run_dir`` must be writable.
    """

    def make_work(tools: Tools, owner: str) -> Work[ImageClaim, FetchedImage]:
        client = RegistryClient(tools.upstream, registries)
        fetcher = ImageFetcher(tools, client, image_queue, at_once=settings.concurrency_per_image)
        return Work(fetcher.fetch, (Repairs(tools, owner, of_images=True, sources=fetcher.sources),))

    return await run_downloader(
        kind="image",
        queue=image_queue,
        make_work=make_work,
        owners=run_dir / IMAGE_DOWNLOADERS,
        store=store,
        settings=settings,
        upstream=upstream,
        watch=watch,
        stop=stop,
        callers=callers,
    )


class ImageFetcher:
    """Fetches claimed images, of each so many manifests or blobs ``at_once``."""

    def __init__(self, tools: Tools, registries: RegistryClient, known: KnownBlobs, *, at_once: int) -> None:
        self._registries = registries
        self._blobs = BlobFetcher(tools, registries, known)
        self._at_once = at_once

    async def fetch(self, claim: ImageClaim, meter: Meter) -> FetchedImage:
        """Fetch, verify and commit all of ``claim``; ``meter`` shows how far its blobs are.

        Raises:
            TransientFetchError: if it may work later; what is stored by then is not fetched again.
            PermanentFetchError: if it will not by itself.
            StorageError: if the blob store failed.
        """
        begin = time.monotonic()
        parts = await self._collect(claim)
        needed = needed_blobs(parts)
        meter.total_bytes = sum(descriptor.size for _part, descriptor in needed)
        fetch = partial(self._fetch_blob, claim, meter)
        stored = {blob.digest: blob for blob in await in_parallel(fetch, needed, at_once=self._at_once)}
        size = sum(len(part.content) for part in parts) + sum(blob.size for blob in stored.values())
        seconds = round(time.monotonic() - begin, 3)
        log.info("fetched", uri=claim.uri, bytes=size, manifests=len(parts), blobs=len(stored), seconds=seconds)
        return FetchedImage(
            row_id=claim.row_id,
            media_type=parts[0].manifest.media_type,
            size=size,
            manifests=[_fetched(part, stored) for part in parts],
        )

    def sources(self, repair: Repair) -> Iterator[Source]:
        """Return where a damaged blob can be had again; see repairs.Source."""
        return (partial(self._fetch_again, source) for source in repair.registries)

    async def _fetch_again(self, source: RegistrySource) -> tuple[str, str]:
        claim = ImageClaim(0, source.registry, source.repository, source.digest, (), with_referrers=False, attempts=0)
        descriptor = Descriptor(parse_digest(source.digest), source.size, "", "blob")
        found = await self._blobs.fetch(claim, descriptor, Meter())
        return f"{source.registry}/{source.repository}", found.sha256

    async def _collect(self, claim: ImageClaim) -> list[Part]:
        """Return the image's manifests, its own first."""
        choice = parse_choice(claim.platforms or [NONE])
        get = partial(self._registries.get_manifest, claim.registry, claim.repository)
        tree = ManifestTree(get, at_once=self._at_once)
        own = own_manifest(claim.digest)
        await tree.collect([own], choice)
        check_choice(tree.parts[own.reference], tree.parts.values(), choice)
        if claim.with_referrers:
            of = subjects(tree.parts.values())
            await tree.collect(await find_referrers(self._registries, claim, of, at_once=self._at_once), EVERYTHING)
        return list(tree.parts.values())

    async def _fetch_blob(self, claim: ImageClaim, meter: Meter, needed: tuple[Part, Descriptor]) -> FetchedBlob:
        part, descriptor = needed
        try:
            return await self._blobs.fetch(claim, descriptor, meter)
        except MirrorError as error:
            where = part.wanted.label
            message = f"{where + ', ' if where else ''}{descriptor.role} {descriptor.digest}: {error}"
            raise with_message(error, message) from error.__cause__


def needed_blobs(parts: Iterable[Part]) -> list[tuple[Part, Descriptor]]:
    """Return what ``parts`` need, each once, with the first part that needs it."""
    found: dict[tuple[str, int], tuple[Part, Descriptor]] = {}
    for part in parts:
        for descriptor in part.blobs:
            found.setdefault((str(descriptor.digest), descriptor.size), (part, descriptor))
    return list(found.values())


def _fetched(part: Part, stored: dict[str, FetchedBlob]) -> FetchedManifest:
    blobs: dict[str, FetchedBlob] = {}
    for descriptor in part.blobs:
        # Media type and role as this manifest has them: another one may call the same bytes something else.
        blob = replace(stored[str(descriptor.digest)], media_type=descriptor.media_type, role=descriptor.role)
        blobs.setdefault(blob.digest, blob)
    return FetchedManifest(
        digest=part.digest,
        media_type=part.manifest.media_type,
        content=part.content,
        role=part.wanted.role,
        platform=part.wanted.platform,
        artifact_type=part.manifest.artifact_type,
        subject=str(part.manifest.subject or ""),
        tag=part.wanted.tag,
        blobs=list(blobs.values()),
    )
