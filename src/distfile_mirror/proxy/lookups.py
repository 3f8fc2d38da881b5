"""What a worker remembers of the catalog, so that a file served before needs no database.

A present file never changes: it is remembered until there is no room. Only blocking takes
something away: it moves a number (the revision) that each worker asks for every second; what was
looked up under an older one is looked up again, and served from memory should the database be away.
A miss is remembered for a second, because somebody is about to declare it.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from distfile_mirror.blobs.store import BlobReader, OpenBlob
from distfile_mirror.catalog.found import FoundFile
from distfile_mirror.errors import MirrorError, UnavailableError
from distfile_mirror.model.states import State
from distfile_mirror.proxy.files import ServedFile, served_file

SMALL_BYTES = 65_536
MAX_OPEN_BLOBS = 512
MAX_MISSES = 10_000

log = structlog.get_logger()

Found = ServedFile | FoundFile | MirrorError | None


@dataclass(slots=True)
class _Entry:
    file: ServedFile
    revision: int


class Lookups:
    """Finds files by URI for one worker. All methods are called in the event loop's thread.

    ``find_file`` asks the catalog and ``blobs`` opens; both run in ``executor``. ``call_soon`` brings
    results back into the loop.
    """

    def __init__(
        self,
        *,
        find_file: Callable[[str], FoundFile | None],
        blobs: BlobReader,
        executor: Executor,
        call_soon: Callable[..., object],
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._find_file = find_file
        self._blobs = blobs
        self._executor = executor
        self._call_soon = call_soon
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bodies: OrderedDict[str, int] = OrderedDict()
        self._opened: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self._misses: dict[str, FoundFile | None] = {}
        self._revision = 0

    def cached(self, uri: str) -> ServedFile | None:
        """Return a file that can be served at once."""
        entry = self._entries.get(uri)
        if entry is None or entry.revision != self._revision or not entry.file.is_open:
            return None
        self._entries.move_to_end(uri)
        return entry.file

    def find(self, uri: str, then: Callable[[Found], object]) -> None:
        """Look ``uri`` up and call ``then``, in the loop: a file to serve, what is known instead, or why it failed."""
        if uri in self._misses:
            self._call_soon(then, self._misses[uri])
            return
        entry = self._entries.get(uri)
        self._executor.submit(self._resolve, uri, entry, self._revision, then)

    def forget_misses(self) -> None:
        """Forget what was not there; called once a second."""
        self._misses.clear()

    def set_revision(self, revision: int) -> None:
        """Take the catalog's revision; what was found under another is looked up again."""
        if revision != self._revision:
            self._revision = revision
            self._misses.clear()

    def _resolve(self, uri: str, entry: _Entry | None, revision: int, then: Callable[[Found], object]) -> None:
        """In a thread: ask the catalog unless what is known is current, and open the blob."""
        known = entry.file if entry else None
        current = entry is not None and entry.revision == revision
        found: Found
        try:
            found = known if current else self._ask(uri, known)
            if isinstance(found, ServedFile):
                found = self._open(found)
        except MirrorError as error:
            log.error("look-up failed", uri=uri, reason=str(error))  # noqa: TRY400 - it says all
            found = error
        except Exception:
            log.exception("look-up failed", uri=uri)
            found = UnavailableError("the look-up failed; the log of the proxy says why")
        self._call_soon(self._remember, uri, found, revision, then)

    def _ask(self, uri: str, known: ServedFile | None) -> Found:
        try:
            found = self._find_file(uri)
        except UnavailableError:
            if known is None:
                raise
            return known
        if found is None or found.state is not State.PRESENT:
            return found
        return served_file(found)

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
            self._store(uri, found, revision)
        elif not isinstance(found, MirrorError):
            self._drop(uri)
            if len(self._misses) < MAX_MISSES:
                self._misses[uri] = found
        then(found)

    def _store(self, uri: str, file: ServedFile, revision: int) -> None:
        self._drop(uri)
        self._entries[uri] = _Entry(file, revision)
        if file.body is None:
            self._opened[uri] = None
        else:
            self._bodies[uri] = file.size
            self._bytes += file.size
        while len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))
        # Beyond these limits the file is still known, and only has to be opened again.
        while self._bytes > self._max_bytes:
            oldest, size = self._bodies.popitem(last=False)
            self._bytes -= size
            self._entries[oldest].file = self._entries[oldest].file.closed()
        while len(self._opened) > MAX_OPEN_BLOBS:
            oldest, _nothing = self._opened.popitem(last=False)
            self._entries[oldest].file = self._entries[oldest].file.closed()

    def _drop(self, uri: str) -> None:
        self._entries.pop(uri, None)
        self._opened.pop(uri, None)
        self._bytes -= self._bodies.pop(uri, 0)


def _read(blob: OpenBlob) -> bytes:
    content = b""
    while piece := os.pread(blob.fd, blob.size + 1 - len(content), len(content)):
        content += piece
    if len(content) != blob.size:
        raise UnavailableError("a blob changed its length while it was read")
    return content
