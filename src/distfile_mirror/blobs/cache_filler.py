"""Brings blobs from a store into the cache folder, verifies them, and puts them into their place."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock

import structlog

from distfile_mirror.blobs.blob_source import BlobSource
from distfile_mirror.blobs.cache_fill import FILLER_PATIENCE_SECONDS, Fill
from distfile_mirror.blobs.cache_folder import CacheError, CacheFolder, cache_errors
from distfile_mirror.blobs.cache_space import CacheSpace
from distfile_mirror.blobs.store import BlobCorruptError, blob_key
from distfile_mirror.errors import MirrorError, StorageError
from distfile_mirror.model.checksums import Hasher

CHUNK_BYTES = 1 << 20
# Room is made for so much at a time.
ACCOUNT_BYTES = 16 << 20
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 2.0
# A blob that was found corrupt is not fetched again for so long.
CORRUPT_SECONDS = 30.0
MAX_CORRUPT = 1_000

log = structlog.get_logger()


class StoppingError(StorageError):
    """This proxy ends; another one goes on."""


@dataclass(slots=True)
class CacheCounts:
    """What happened since the start."""

    hits: int = 0
    fills: int = 0
    filled_bytes: int = 0
    failed: int = 0
    corrupt: int = 0
    evicted: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, **counts: int) -> None:
        """Add to the numbers by their names."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


class CacheFiller:
    """Fills, in whatever thread calls. ``stopping`` ends what is under way, which others may continue."""

    def __init__(self, source: BlobSource, folder: CacheFolder, space: CacheSpace, stopping: Event) -> None:
        self._source = source
        self._folder = folder
        self._space = space
        self._stopping = stopping
        self._corrupt: dict[str, tuple[float, str]] = {}
        self.counts = CacheCounts()

    def fill(self, fill: Fill, chunks: Iterator[bytes] | None) -> None:
        """Bring all of a blob: its ``chunks``, or None: go on where somebody stopped. Never raises."""
        try:
            digest = self._bring(fill, chunks)
            self._compare(fill.sha256, digest)
            fill.succeed()
            self.keep(fill)
        except StoppingError as error:
            fill.fail(error)  # the lock is given up, and the file stays: somebody may go on
        except MirrorError as error:
            self._fail(fill, error)
        except Exception as error:
            log.exception("bringing a blob into the cache failed", sha256=fill.sha256)
            self._fail(fill, StorageError(f"blob {fill.sha256} could not be brought into the cache: {error}"))

    def make_room(self, count: int) -> None:
        """Make sure that the disk has room for ``count`` bytes. Raises CacheError."""
        with cache_errors(self._folder.root):
            self.counts.add(evicted=self._space.make_room(count))

    def write_small(self, fill: Fill, content: bytes) -> None:
        """Let the file of ``fill`` have ``content``, which is verified. Raises CacheError."""
        with cache_errors(self._folder.root):
            os.ftruncate(fill.fd, 0)
            self._write(fill, content, 0)
        self._account(len(content))
        self.counts.add(filled_bytes=len(content))
        fill.succeed()

    def keep(self, fill: Fill) -> None:
        """Put what is verified into its place. Never raises: those who read it have it all the same."""
        try:
            with cache_errors(self._folder.root):
                if fill.size > self._space.limit:
                    log.warning("a blob is larger than the cache and is not kept", sha256=fill.sha256, bytes=fill.size)
                    self._folder.pass_on(fill.sha256, fill.fd)
                else:
                    self._folder.keep(fill.sha256, fill.fd)
        except CacheError as error:
            log.error("a blob could not be kept in the cache", sha256=fill.sha256, reason=str(error))  # noqa: TRY400
            self.give_up(fill.sha256)

    def verified(self, sha256: str, chunks: Iterator[bytes]) -> bytes:
        """Return a small blob's bytes. Raises BlobCorruptError, StorageError."""
        content = b"".join(chunks)
        hasher = Hasher()
        hasher.update(content)
        self._compare(sha256, hasher.hex_digests()["sha256"])
        return content

    def refuse_corrupt(self, sha256: str) -> None:
        """Raise BlobCorruptError for what was found corrupt a moment ago: it is not fetched again and again."""
        until, message = self._corrupt.get(sha256, (0.0, ""))
        if time.monotonic() < until:
            raise BlobCorruptError(message)

    def give_up(self, sha256: str) -> None:
        """Forget a file whose lock the caller has, and tell so to all who read along."""
        with suppress(OSError):
            self._folder.give_up(sha256)

    def _compare(self, sha256: str, found: str) -> None:
        if found == sha256:
            return
        self.counts.add(corrupt=1)
        message = f"{blob_key(sha256)} in the blob store is corrupt: its bytes have sha256 {found}"
        log.error("a blob is corrupt and is not served", reason=message)
        if len(self._corrupt) >= MAX_CORRUPT:
            self._corrupt.clear()
        self._corrupt[sha256] = (time.monotonic() + CORRUPT_SECONDS, message)
        raise BlobCorruptError(message)

    def _fail(self, fill: Fill, error: MirrorError) -> None:
        self.counts.add(failed=1)
        log.error("a blob could not be brought into the cache", sha256=fill.sha256, reason=str(error))
        fill.fail(error)
        self.give_up(fill.sha256)

    def _bring(self, fill: Fill, chunks: Iterator[bytes] | None) -> str:
        """Return the sha256 of all bytes, once they are there."""
        hasher = Hasher()
        position = 0 if chunks is not None else self._take_up(fill, hasher)
        moved_at, backoff = time.monotonic(), FIRST_BACKOFF_SECONDS
        while position < fill.size:
            try:
                for chunk in chunks if chunks is not None else self._read_from(fill, position):
                    self._take(fill, hasher, chunk, position)
                    position += len(chunk)
                    moved_at, backoff = time.monotonic(), FIRST_BACKOFF_SECONDS
                _require_end(fill, position)
            except (CacheError, StoppingError):
                raise
            except StorageError as error:
                if time.monotonic() - moved_at > FILLER_PATIENCE_SECONDS:
                    raise
                log.warning("a blob stopped coming into the cache", sha256=fill.sha256, at=position, reason=str(error))
                self._pause(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
            chunks = None
        return hasher.hex_digests()["sha256"]

    def _read_from(self, fill: Fill, position: int) -> Iterator[bytes]:
        size, chunks = self._source.read(fill.sha256, position)
        if size != fill.size:
            raise BlobCorruptError(f"blob {fill.sha256} changed its size from {fill.size} to {size} bytes")
        return chunks

    def _take(self, fill: Fill, hasher: Hasher, chunk: bytes, position: int) -> None:
        if position + len(chunk) > fill.size:
            raise BlobCorruptError(f"blob {fill.sha256} has more bytes than its size, {fill.size}")
        hasher.update(chunk)
        with cache_errors(self._folder.root):
            self._write(fill, chunk, position)
        done = position + len(chunk)
        fill.advance(done)
        self.counts.add(filled_bytes=len(chunk))
        blocks = done // ACCOUNT_BYTES - position // ACCOUNT_BYTES
        if blocks or done == fill.size:
            self._account(blocks * ACCOUNT_BYTES + (done % ACCOUNT_BYTES if done == fill.size else 0))
        if self._stopping.is_set():
            raise StoppingError

    def _take_up(self, fill: Fill, hasher: Hasher) -> int:
        """Hash what a filler left that is gone; return how many bytes there are."""
        with cache_errors(self._folder.root):
            if os.fstat(fill.fd).st_size > fill.size:
                os.ftruncate(fill.fd, 0)
            position = 0
            while piece := os.pread(fill.fd, CHUNK_BYTES, position):
                hasher.update(piece)
                position += len(piece)
        fill.advance(position)
        log.info("a blob is brought on into the cache", sha256=fill.sha256, at=position)
        return position

    def _write(self, fill: Fill, data: bytes, position: int) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(fill.fd, view, position)
            view, position = view[count:], position + count

    def _account(self, count: int) -> None:
        with cache_errors(self._folder.root):
            self.counts.add(evicted=self._space.add(count))

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise StoppingError


def _require_end(fill: Fill, position: int) -> None:
    if position < fill.size:
        raise StorageError(f"blob {fill.sha256} ended after {position} of {fill.size} bytes")
