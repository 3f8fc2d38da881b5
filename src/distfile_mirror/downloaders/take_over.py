"""What dead downloaders of this machine left: what they had fetched is recorded, and the rest is due again."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from distfile_mirror.blobs.object_errors import UnreachableError
from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog.leases import Failed, Released
from distfile_mirror.downloaders.catalog_thread import CatalogThread, wait_for_event
from distfile_mirror.downloaders.owners import DeadOwner, dead_owners
from distfile_mirror.downloaders.unrecorded import read_notes
from distfile_mirror.errors import StorageError

STORE_PAUSE_SECONDS = 5.0

F = TypeVar("F")
T = TypeVar("T")

log = structlog.get_logger()


class Estate(Protocol[F]):
    """What is needed of a queue in the catalog to take over from the dead."""

    def record(self, owner: str, outcomes: Collection[F | Failed | Released]) -> None:
        """Record outcomes of rows that ``owner`` has. Raises UnavailableError."""

    def release_owner(self, owner: str) -> int:
        """Give back all that ``owner`` had claimed; return how many rows. Raises UnavailableError."""

    def from_note(self, note: Mapping[str, Any]) -> F:
        """Return what was noted. Raises ValueError, TypeError, KeyError: for what is no such note."""

    def blobs_of(self, fetched: F) -> Collection[str]:
        """Return the blobs that must be stored, by their sha256."""


async def take_over(
    owners: Path, *, queue: Estate[F], catalog: CatalogThread, store: BlobStore, stop: asyncio.Event
) -> None:
    """Take over what the dead left whose files are in the folder ``owners``; whoever is late waits for the lease.

    It waits for a catalog or a store that is away, until ``stop`` is set. Raises OSError: if ``owners`` cannot be read.
    """
    with closing(dead_owners(owners)) as found:
        for dead in found:
            await _ask(partial(store.remove_abandoned, patiently=True), stop)  # which stores what they had whole
            await _record(dead, queue, catalog, store, stop)
            await catalog.patiently(partial(queue.release_owner, dead.name), stop)
            if stop.is_set():
                return
            dead.bury()


async def _record(
    dead: DeadOwner, queue: Estate[F], catalog: CatalogThread, store: BlobStore, stop: asyncio.Event
) -> None:
    noted = [fetched for note in read_notes(dead.fd) if (fetched := _understood(note, queue.from_note)) is not None]
    whole = [fetched for fetched in noted if await _is_stored(queue.blobs_of(fetched), store, stop)]
    if not whole or stop.is_set():
        return
    try:
        await catalog.patiently(partial(queue.record, dead.name, whole), stop)
    except Exception:
        log.exception("what a dead downloader had fetched cannot be recorded; it is fetched again", rows=len(whole))
    else:
        log.info("recorded what a dead downloader had fetched", rows=len(whole))


def _understood(note: Mapping[str, Any], from_note: Callable[[Mapping[str, Any]], F]) -> F | None:
    try:
        return from_note(note)
    except (ValueError, TypeError, KeyError) as error:  # another release's
        log.warning("a dead downloader's note is not understood; what it is of is fetched again", error=str(error))
        return None


async def _is_stored(blobs: Collection[str], store: BlobStore, stop: asyncio.Event) -> bool:
    """Tell whether ``store``, which may be another one by now, has all ``blobs``; False if ``stop`` is set before."""
    return bool(await _ask(lambda: all(map(store.contains, blobs)), stop))


async def _ask(ask: Callable[[], T], stop: asyncio.Event) -> T | None:
    """Ask the store until it can be reached; return None if ``stop`` is set before, or if it fails otherwise."""
    while not stop.is_set():
        try:
            return await asyncio.to_thread(ask)
        except UnreachableError as error:
            log.warning("waiting for the blob store", error=str(error))
            await wait_for_event(stop, STORE_PAUSE_SECONDS)
        except StorageError as error:
            log.warning("what a dead downloader had may have to be fetched again", error=str(error))
            return None
    return None
