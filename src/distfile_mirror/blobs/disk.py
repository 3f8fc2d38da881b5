"""Blobs in a folder: ``sha256/ab/abcd…`` read-only, ``incoming/`` for what is being written, ``damaged/``.

The order that makes a blob permanent: write, fsync the file, rename it under its digest, fsync
the folder. For many small ones at once the file system is flushed instead, once for all files and
once for all folders (ADR 0008). A process holds a lock (flock) on each file that it is writing, so what a dead one
left in ``incoming`` is told apart from what a living one is at, without asking who it was.
"""

import errno
import fcntl
import itertools
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from distfile_mirror.blobs.flushing import begin_write_back, can_flush_file_system, flush_file_system
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, OpenBlob, Pace
from distfile_mirror.errors import StorageError, StorageFullError
from distfile_mirror.model.checksums import Hasher

READ_ONLY = 0o444
CHUNK_BYTES = 1 << 20
# Fewer blobs than this are flushed one by one: what others write on the same disk is not waited for.
WORTH_A_FLUSH = 4
# A large blob goes to the disk while more of it comes, so that its fsync has little left to do.
WRITE_BACK_BYTES = 16 << 20
# Names of files being written: no other process has this one's, and no other file its number.
_PROCESS_NAME = secrets.token_hex(8)
_NUMBERS = itertools.count()
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskBlobStore:
    """A BlobStore in the folder ``root``, which is created if need be (its parent must exist)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "sha256"
        self._incoming = root / "incoming"
        self._set_aside = root / "damaged"

    def prepare(self) -> None:
        """Create the folders. Raises StorageError."""
        with _storage_errors(self._root):
            for folder in (self._root, self._blobs, self._incoming):
                _make_folder(folder)

    def open(self, sha256: str) -> OpenBlob:
        """See BlobReader.open."""
        path = self._path(sha256)
        with _storage_errors(path):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise BlobMissingError(f"{path} is missing from the blob store") from None
            return OpenBlob(fd, os.fstat(fd).st_size)

    def contains(self, sha256: str) -> bool:
        """See BlobStore.contains."""
        return self._path(sha256).exists()

    def create(self) -> "DiskBlobWriter":
        """See BlobStore.create."""
        with _storage_errors(self._incoming):
            return DiskBlobWriter(self._path, *_create_locked(self._incoming))

    def store_together(self, contents: Mapping[str, bytes]) -> None:
        """See BlobStore.store_together."""
        writers: dict[str, DiskBlobWriter] = {}
        try:
            for sha256, content in contents.items():
                writers[sha256] = self.create()
                writers[sha256].write(content)
            if len(writers) < WORTH_A_FLUSH or not can_flush_file_system():
                for sha256, writer in writers.items():
                    writer.commit(sha256)
            else:
                self._commit_together(writers)
        finally:
            for writer in writers.values():
                writer.discard()

    def _commit_together(self, writers: Mapping[str, "DiskBlobWriter"]) -> None:
        with _storage_errors(self._blobs):
            flush_file_system(self._incoming)
            for sha256, writer in writers.items():
                writer.rename(sha256)
            flush_file_system(self._blobs)

    def digests(self, sha256: str, algorithms: Iterable[str]) -> dict[str, str]:
        """See BlobStore.digests."""
        hasher = Hasher(algorithms)
        for piece in self._pieces(sha256):
            hasher.update(piece)
        return hasher.hex_digests()

    def verify(self, sha256: str, pace: Pace | None = None) -> int:
        """See BlobStore.verify."""
        hasher = Hasher(())
        size = 0
        for piece in self._pieces(sha256):
            hasher.update(piece)
            size += len(piece)
            if pace is not None:
                pace(len(piece))
        found = hasher.hex_digests()["sha256"]
        if found != sha256:
            raise BlobCorruptError(f"{self._path(sha256)} is corrupt: its bytes have sha256 {found}")
        return size

    def set_aside(self, sha256: str) -> None:
        """See BlobStore.set_aside."""
        path = self._path(sha256)
        with _storage_errors(path):
            _make_folder(self._set_aside)
            path.rename(self._set_aside / f"{sha256}-{time.time_ns()}")
            _fsync_folder(path.parent)

    def _pieces(self, sha256: str) -> Iterator[memoryview]:
        """Yield the bytes of a blob; each piece is void when the next one is asked for."""
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        with self.open(sha256) as blob, _storage_errors(self._path(sha256)):
            position = 0
            while count := os.preadv(blob.fd, [buffer], position):
                yield view[:count]
                position += count

    def check(self) -> None:
        """See BlobReader.check."""
        with _storage_errors(self._blobs):
            os.listdir(self._incoming)
            os.stat(self._blobs)

    def remove_abandoned(self) -> int:
        """See BlobStore.remove_abandoned."""
        removed = 0
        with _storage_errors(self._incoming):
            for entry in os.scandir(self._incoming):
                removed += _remove_if_abandoned(entry.path)
        return removed

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a sha256 in lower-case hexadecimal")
        return self._blobs / sha256[:2] / sha256


class DiskBlobWriter:
    """See BlobWriter."""

    def __init__(self, final_path: Callable[[str], Path], path: Path, fd: int) -> None:
        self._final_path = final_path
        self._path = path
        self._fd = fd
        self._has_temporary_name = True
        self._unflushed = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See BlobWriter.write."""
        with _storage_errors(self._path):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._unflushed += len(data)
            if self._unflushed >= WRITE_BACK_BYTES:
                self._unflushed = 0
                begin_write_back(self._fd)

    def restart(self) -> None:
        """See BlobWriter.restart."""
        with _storage_errors(self._path):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)

    def commit(self, sha256: str) -> None:
        """See BlobWriter.commit."""
        final = self._final_path(sha256)
        with _storage_errors(final):
            os.fsync(self._fd)
            self.rename(sha256)
            # Also for a copy that was there: its writer may not have come so far yet.
            _fsync_folder(final.parent)
        self.discard()

    def rename(self, sha256: str) -> None:
        """Give the bytes, which are on the disk by now, their name. Raises OSError."""
        final = self._final_path(sha256)
        if not final.exists():  # the same bytes from elsewhere: the first copy stays
            try:
                self._path.rename(final)
            except FileNotFoundError:  # the first one with these two digits
                _make_folder(final.parent)
                self._path.rename(final)
            self._has_temporary_name = False

    def discard(self) -> None:
        """See BlobWriter.discard."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self._has_temporary_name:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
            os.close(fd)


@contextmanager
def _storage_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = f"the blob store is full ({error.strerror}, at {where}): free some space or enlarge it"
            raise StorageFullError(message) from error
        raise StorageError(f"the blob store failed at {where}: {error.strerror or error}") from error


def _create_locked(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{_PROCESS_NAME}-{next(_NUMBERS)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READ_ONLY)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if stat.S_IMODE(status.st_mode) != READ_ONLY:  # the umask; the proxy may be another user
            os.fchmod(fd, READ_ONLY)
        # Between the two calls a cleaner may have taken it for abandoned.
        if status.st_nlink:
            return path, fd
        os.close(fd)


def _remove_if_abandoned(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        return False
    else:
        return True
    finally:
        os.close(fd)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        return
    _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
