"""A bounded cache on a local disk, in front of an object store: what proxies read (ADR 0014).

Each blob is fetched once for all who ask, in all processes that share the folder. Small ones are
brought whole before they are opened; a larger one is open at once and grows while it is read, but
for its last bytes, which are held back until its digest is known to be right. A request for the middle of
a large blob that is not there yet waits until the blob has come so far.
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

import structlog

from distfile_mirror.blobs.blob_source import BlobSource, FailFastSource
from distfile_mirror.blobs.cache_fill import Fill
from distfile_mirror.blobs.cache_filler import CacheCounts, CacheFiller
from distfile_mirror.blobs.cache_folder import CacheError, CacheFolder, cache_errors, reopen, state_of, try_lock
from distfile_mirror.blobs.cache_space import CacheSpace
from distfile_mirror.blobs.cached_blob import CachedBlob
from distfile_mirror.blobs.store import OpenBlob
from distfile_mirror.errors import StorageError, UnavailableError

SMALL_BYTES = 1 << 20
FILL_THREADS = 8
TOUCH_SECONDS = 5.0
# What another process does to a file takes so long at most, but for fetching.
CLAIM_ATTEMPTS = 200
CLAIM_SECONDS = 0.005
SMALL_PATIENCE_SECONDS = 10.0
_STRIPES = 64

log = structlog.get_logger()


class ReadThroughCache:
    """A BlobReader over ``source`` with the folder ``root`` of ``limit`` bytes. Enter it as a context."""

    def __init__(self, source: BlobSource, root: Path, *, limit: int) -> None:
        self._stopping = threading.Event()
        self._source = FailFastSource(source)
        self._folder = CacheFolder(root)
        self._space = CacheSpace(root, limit)
        self._filler = CacheFiller(self._source, self._folder, self._space, self._stopping)
        self._fills: dict[str, Fill] = {}
        self._opened: WeakSet[CachedBlob] = WeakSet()
        self._lock = threading.Lock()
        # Two threads that want the same blob do not both ask for it.
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._pool = ThreadPoolExecutor(FILL_THREADS, "fills")
        # Apart, so that small blobs need not wait until large ones are there.
        self._finishing = ThreadPoolExecutor(1, "fill-endings")
        self._keeper = threading.Thread(target=self._keep_house, name="cache-keeper", daemon=True)

    def __enter__(self) -> Self:
        """Make the folder, as far as that is possible: without it small blobs are served all the same."""
        try:
            with cache_errors(self._folder.root):
                self._folder.prepare()
        except CacheError as error:
            log.error("the cache cannot be used", reason=str(error))  # noqa: TRY400 - it says all
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        self._finishing.shutdown()
        self._keeper.join()

    @property
    def counts(self) -> CacheCounts:
        """What happened since the start."""
        return self._filler.counts

    def check(self) -> None:
        """See BlobReader.check."""
        with cache_errors(self._folder.root):
            os.listdir(self._folder.root / "filling")
        self._source.check()

    def open(self, sha256: str) -> OpenBlob:
        """See BlobReader.open; a blob that is not whole yet is a CachedBlob. Raises BlobCorruptError, too."""
        try:
            return self._open_whole(sha256) or self._open_cold(sha256)
        except CacheError as error:
            log.error("the cache failed", sha256=sha256, reason=str(error))  # noqa: TRY400 - it says all
            return self._open_in_memory(sha256, error)

    def _open_whole(self, sha256: str) -> CachedBlob | None:
        with cache_errors(self._folder.root):
            fd = self._folder.open_whole(sha256)
            return None if fd is None else self._hit(fd)

    def _open_cold(self, sha256: str) -> OpenBlob:
        self._filler.refuse_corrupt(sha256)
        with self._stripes[int(sha256[:4], 16) % _STRIPES]:
            fill = self._fills.get(sha256)
            if fill is not None:
                with suppress(StorageError):
                    fill.available()
                reader = None if fill.has_failed else fill.open_reader()
                if reader is not None:
                    return self._noted(CachedBlob(reader, fill.size, fill))
            return self._claim(sha256)

    def _claim(self, sha256: str) -> OpenBlob:
        """Fill a blob, or read along with who does; or find that it has come in the meantime."""
        for _ in range(CLAIM_ATTEMPTS):
            blob = self._open_whole(sha256) or self._claim_file(sha256)
            if blob is not None:
                return blob
            time.sleep(CLAIM_SECONDS)
        raise UnavailableError(f"blob {sha256} could not be brought into the cache; try again")

    def _claim_file(self, sha256: str) -> OpenBlob | None:
        """Return the blob, or None if its file has just been done with."""
        with ExitStack() as owned:
            with cache_errors(self._folder.root):
                fd = self._folder.open_filling(sha256)
                owned.callback(os.close, fd)
                is_filler = try_lock(fd)
                state = state_of(fd)
                if state.is_verified:
                    if is_filler:
                        self._folder.place_if_left(sha256, fd)
                    owned.pop_all()
                    return self._hit(fd)
            if state.is_given_up:
                return None
            if is_filler and not state.bytes and (whole := self._open_whole(sha256)) is not None:
                self._filler.give_up(sha256)  # it has just come, and this file is a new one
                return whole
            if is_filler:
                size, chunks = self._ask(sha256, state.bytes)
            else:
                size, chunks = self._source.size(sha256), None
            owned.pop_all()
            fill = Fill(sha256, fd, size, is_filler=is_filler, take_over=self._take_over)
        return self._begin(fill, chunks) if is_filler else self._follow(fill)

    def _ask(self, sha256: str, there: int) -> tuple[int, Iterator[bytes] | None]:
        """Return a blob's size, and its bytes unless ``there`` are some that somebody left who is gone."""
        try:
            if there:
                size = self._source.size(sha256)
                if size > SMALL_BYTES:
                    return size, None
            return self._source.read(sha256)
        except BaseException:
            if not there:
                self._filler.give_up(sha256)
            raise

    def _begin(self, fill: Fill, chunks: Iterator[bytes] | None) -> OpenBlob:
        self.counts.add(fills=1)
        try:
            self._filler.make_room(fill.size)  # before anybody is promised that it comes
            if fill.size <= SMALL_BYTES and chunks is not None:
                return self._fill_small(fill, chunks)
            blob = self._register(fill)
        except BaseException:
            self._filler.give_up(fill.sha256)
            self.counts.add(failed=1)
            fill.close()
            raise
        self._pool.submit(self._fill, fill, chunks)
        return blob

    def _follow(self, fill: Fill) -> OpenBlob:
        blob = self._register(fill)
        until = time.monotonic() + SMALL_PATIENCE_SECONDS
        while fill.size <= SMALL_BYTES and not fill.is_verified:
            fill.available()
            if time.monotonic() > until:
                raise UnavailableError(f"blob {fill.sha256} does not come into the cache; try again")
            time.sleep(CLAIM_SECONDS)
        return blob

    def _register(self, fill: Fill) -> CachedBlob:
        with cache_errors(self._folder.root):
            reader = reopen(fill.fd)
        self._fills[fill.sha256] = fill
        return self._noted(CachedBlob(reader, fill.size, fill))

    def _take_over(self, fill: Fill) -> None:
        """Go on with a blob whose filler died. Called from the event loop, too."""
        if not self._stopping.is_set():
            self.counts.add(fills=1)
            self._pool.submit(self._fill, fill, None)

    def _fill(self, fill: Fill, chunks: Iterator[bytes] | None) -> None:
        try:
            self._filler.fill(fill, chunks)
        finally:
            self._settle(fill)

    def _fill_small(self, fill: Fill, chunks: Iterator[bytes]) -> OpenBlob:
        content = self._filler.verified(fill.sha256, chunks)
        self._filler.write_small(fill, content)
        blob = self._register(fill)
        self._finishing.submit(self._keep_small, fill)
        return blob

    def _keep_small(self, fill: Fill) -> None:
        try:
            self._filler.keep(fill)
        finally:
            self._settle(fill)

    def _settle(self, fill: Fill) -> None:
        if self._fills.get(fill.sha256) is fill:
            del self._fills[fill.sha256]
        fill.close()

    def _open_in_memory(self, sha256: str, problem: CacheError) -> OpenBlob:
        """Serve what is small without a disk. Raises ``problem`` for what is not."""
        size, chunks = self._source.read(sha256)
        if size > SMALL_BYTES:
            raise problem
        content = self._filler.verified(sha256, chunks)
        blob = OpenBlob(os.memfd_create("blob", os.MFD_CLOEXEC), size)
        with cache_errors(self._folder.root):
            os.write(blob.fd, content)
        return blob

    def _hit(self, fd: int) -> CachedBlob:
        """Return a whole blob that owns ``fd``."""
        self.counts.add(hits=1)
        return self._noted(CachedBlob(fd, os.fstat(fd).st_size))

    def _noted(self, blob: CachedBlob) -> CachedBlob:
        with self._lock:
            self._opened.add(blob)
        return blob

    def _keep_house(self) -> None:
        """In a thread: note what was used, and find out what is gone."""
        try:
            self.counts.add(evicted=self._space.recount())
        except OSError as error:
            log.warning("the cache could not be counted", reason=str(error))
        while not self._stopping.wait(TOUCH_SECONDS):
            with self._lock:
                opened = list(self._opened)
            for blob in opened:
                with suppress(OSError):
                    blob.touch()
            # Followers whose readers are gone: nobody else finds out that they are done.
            for fill in list(self._fills.values()):
                if not fill.is_filler and fill.is_settled:
                    self._settle(fill)
