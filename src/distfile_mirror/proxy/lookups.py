"""What a worker remembers of the catalog, so that what was served before needs no database.

What is not in its memory any more, or was served by another worker, is on disk (served_before).

A present file never changes: it is remembered until there is no room. Only blocking takes
something away: it moves a number (the revision) that each worker asks for every second; what was
looked up under an older one is looked up again, and served from memory should the database be away.
A miss is remembered for a moment only, because somebody is about to declare it, and then asks again at once.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import structlog

from distfile_mirror.blobs.store import BlobReader, OpenBlob
from distfile_mirror.catalog.found import FoundContent, FoundFile, MissingImage
from distfile_mirror.errors import DamagedError, MirrorError, UnavailableError
from distfile_mirror.model.states import State
from distfile_mirror.proxy.fail_fast import FailFastFind, Find
from distfile_mirror.proxy.files import ServedFile, served_content, served_file
from distfile_mirror.proxy.registry_paths import RegistryRequest
from distfile_mirror.proxy.served_before import ServedBefore

SMALL_BYTES = 65_536
MAX_OPEN_BLOBS = 512
MAX_MISSES = 10_000
# Shorter than it takes to declare something and to have it downloaded.
MISS_SECONDS = 0.05

log = structlog.get_logger()

Missing = FoundFile | MissingImage | None
Found = ServedFile | Missing | MirrorError


@dataclass(slots=True)
class _Entry:
    file: ServedFile
    revision: int


class Lookups:
    """Finds by URI what is served, for one worker. All methods are called in the event loop's thread.

    ``find`` asks the catalog, in ``questions``, and ``blobs`` opens, in ``executor``: who waits for the database
    keeps nobody from what is known; ``before`` is what was served before. ``call_soon`` brings results back into the
    loop. ``uri`` is a key: what is asked of this server as a registry mirror has one of its own.
    """

    def __init__(
        self,
        *,
        find: Find,
        blobs: BlobReader,
        before: ServedBefore,
        questions: Executor,
        executor: Executor,
        call_soon: Callable[..., object],
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._find = FailFastFind(find)
        self._questions = questions
        self._blobs = blobs
        self._before = before
        self._executor = executor
        self._call_soon = call_soon
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bodies: OrderedDict[str, int] = OrderedDict()
        # Bodies that only the catalog has: they go last, so that they are served while it is away.
        self._manifests: OrderedDict[str, int] = OrderedDict()
        self._opened: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self._misses: dict[str, tuple[float, Missing]] = {}
        self._revision = 0

    def cached(self, uri: str) -> ServedFile | None:
        """Return a file that can be served at once."""
        entry = self._entries.get(uri)
        if entry is None or entry.revision != self._revision or not entry.file.is_open:
            return None
        self._entries.move_to_end(uri)
        return entry.file

    def find(
        self, uri: str, request: RegistryRequest | None, then: Callable[[Found], object], *, request_id: str = ""
    ) -> None:
        """Look ``uri`` up, as ``request`` of a registry if it is one; ``request_id`` for the log.

        ``then`` is called in the loop: with a file to serve, what is known instead, or why it failed.
        """
        until, missing = self._misses.get(uri, (0.0, None))
        if time.monotonic() < until:
            self._call_soon(then, missing)
            return
        entry = self._entries.get(uri)
        knows = entry is not None and entry.revision == self._revision
        executor = self._executor if knows or self._find.hangs else self._questions
        executor.submit(self._resolve, uri, request, entry, then, request_id)

    def tick(self) -> None:
        """Forget what was not there, and have noted what was; called once a second."""
        self._misses.clear()
        self._before.write_soon()

    def forget_stale(self) -> None:
        """Let go of open blobs that the cache has no more, so that their disk space is free."""
        for uri in [uri for uri in self._opened if not self._entries[uri].file.is_open]:
            del self._opened[uri]
            self._entries[uri].file = self._entries[uri].file.closed()

    def set_revision(self, revision: int) -> None:
        """Take the catalog's revision; what was found under another is looked up again."""
        if revision != self._revision:
            self._revision = revision
            self._misses.clear()

    def _resolve(
        self,
        uri: str,
        request: RegistryRequest | None,
        entry: _Entry | None,
        then: Callable[[Found], object],
        request_id: str,
    ) -> None:
        """In a thread: ask the catalog unless what is known is current, and open the blob."""
        revision = self._revision
        known = entry.file if entry else None
        current = entry is not None and entry.revision == revision
        found = _guarded(uri, request_id, lambda: known if current else self._ask(uri, request, known))
        if entry is not None and found is known:
            revision = entry.revision  # it is not known to be any newer
        if isinstance(found, ServedFile) and not found.is_open:
            self._executor.submit(self._open_and_tell, uri, found, revision, then, request_id)
        else:
            self._call_soon(self._remember, uri, found, revision, then)

    def _open_and_tell(
        self, uri: str, file: ServedFile, revision: int, then: Callable[[Found], object], request_id: str
    ) -> None:
        """In a thread."""
        found = _guarded(uri, request_id, lambda: self._open(file))
        self._call_soon(self._remember, uri, found, revision, then)

    def _ask(self, uri: str, request: RegistryRequest | None, known: ServedFile | None) -> Found:
        try:
            found = self._find(uri, request)
        except UnavailableError:
            if known is not None:
                return known
            before = self._before.get(uri)
            if before is None:
                raise
            # The catalog was not asked: it will be, with the next request.
            return replace(_served(before, request), permanent=False)
        except DamagedError:
            self._before.note(uri, None)
            raise
        if isinstance(found, FoundContent) or (isinstance(found, FoundFile) and found.state is State.PRESENT):
            served = _served(found, request)
            if served.permanent:
                self._before.note(uri, found)
            return served
        self._before.note(uri, None)
        return found

    def _open(self, file: ServedFile) -> ServedFile:
        blob = self._blobs.open(file.sha256)
        if blob.size != file.size:
            size = blob.size
            blob.close()
            raise UnavailableError(f"blob {file.sha256} has {size} bytes, the catalog says {file.size}")
        if file.size > SMALL_BYTES:
            return file.opened(blob)
        with blob:
            return file.with_body(_read(blob))

    def _remember(self, uri: str, found: Found, revision: int, then: Callable[[Found], object]) -> None:
        if isinstance(found, ServedFile):
            if found.permanent:
                self._store(uri, found, revision)
        elif not isinstance(found, MirrorError):
            self._drop(uri)
            if len(self._misses) < MAX_MISSES:
                self._misses[uri] = time.monotonic() + MISS_SECONDS, found
        then(found)

    def _store(self, uri: str, file: ServedFile, revision: int) -> None:
        self._drop(uri)
        self._entries[uri] = _Entry(file, revision)
        if file.body is None:
            self._opened[uri] = None
        else:
            (self._bodies if file.sha256 else self._manifests)[uri] = file.size
            self._bytes += file.size
        while len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))
        # Beyond these limits the file is still known, and only has to be opened again.
        while self._bytes > self._max_bytes:
            self._forget_body(next(iter(self._bodies or self._manifests)))
        while len(self._opened) > MAX_OPEN_BLOBS:
            oldest, _nothing = self._opened.popitem(last=False)
            self._entries[oldest].file = self._entries[oldest].file.closed()

    def _forget_body(self, uri: str) -> None:
        if uri in self._manifests:
            self._drop(uri)
            return
        self._bytes -= self._bodies.pop(uri)
        self._entries[uri].file = self._entries[uri].file.closed()

    def _drop(self, uri: str) -> None:
        self._entries.pop(uri, None)
        self._opened.pop(uri, None)
        self._bytes -= self._bodies.pop(uri, 0) + self._manifests.pop(uri, 0)


def _served(found: FoundContent | FoundFile, request: RegistryRequest | None) -> ServedFile:
    if isinstance(found, FoundContent):
        return served_content(found, request.namespace if request else "")
    return served_file(found)


def _guarded(uri: str, request_id: str, look: Callable[[], Found]) -> Found:
    """Return what ``look`` gives, or what it raises."""
    try:
        return look()
    except MirrorError as error:
        log.error("look-up failed", uri=uri, reason=str(error), request_id=request_id)  # noqa: TRY400 - it says all
        return error
    except Exception:
        log.exception("look-up failed", uri=uri, request_id=request_id)
        return UnavailableError("the look-up failed; the log of the proxy says why")


def _read(blob: OpenBlob) -> bytes:
    content = b""
    while piece := os.pread(blob.fd, blob.size + 1 - len(content), len(content)):
        content += piece
    if len(content) != blob.size:
        raise UnavailableError("a blob changed its length while it was read")
    return content
