"""Blobs in a folder: ``sha256/ab/abcd…`` read-only, ``incoming/`` for what is being written, ``damaged/``.

The order that makes a blob permanent: write, fsync the file, rename it under its digest, fsync
the folder. For many small ones at once the file system is flushed instead, once for all files and
once for all folders (ADR 0008).
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from distfile_mirror.blobs import spool
from distfile_mirror.blobs.flushing import FlushAhead, can_flush_file_system, flush_file_system, reserve_room
from distfile_mirror.blobs.spool import SpoolFile, fsync_folder, make_folder, storage_errors
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, OpenBlob, Pace, blob_key
from distfile_mirror.model.checksums import Hasher

CHUNK_BYTES = 1 << 20
# Fewer blobs than this are flushed one by one: what others write on the same disk is not waited for.
WORTH_A_FLUSH = 4
# A large blob is flushed each time that so much more of it has come, and room for the next is reserved.
# Not for all that is announced: an upstream can announce what it likes.
STRIDE_BYTES = 32 << 20


class DiskBlobStore:
    """A BlobStore in the folder ``root``, which is created if need be (its parent must exist)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "sha256"
        self._incoming = root / "incoming"
        self._set_aside = root / "damaged"

    def prepare(self) -> None:
        """Create the folders. Raises StorageError."""
        with storage_errors(self._root):
            for folder in (self._root, self._blobs, self._incoming):
                make_folder(folder)

    def open(self, sha256: str) -> OpenBlob:
        """See BlobReader.open."""
        path = self._path(sha256)
        with storage_errors(path):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise BlobMissingError(f"{path} is missing from the blob store") from None
            return OpenBlob(fd, os.fstat(fd).st_size)

    def size(self, sha256: str) -> int:
        """See BlobStore.size."""
        with self.open(sha256) as blob:
            return blob.size

    def contains(self, sha256: str) -> bool:
        """See BlobStore.contains."""
        return self._path(sha256).exists()

    def create(self) -> "DiskBlobWriter":
        """See BlobStore.create."""
        return DiskBlobWriter(SpoolFile(self._incoming), self._root)

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
        with storage_errors(self._blobs):
            flush_file_system(self._incoming)
            for sha256, writer in writers.items():
                writer.rename(sha256)
            flush_file_system(self._blobs)

    def digests(self, sha256: str, algorithms: Iterable[str]) -> dict[str, str]:
        """See BlobStore.digests."""
        hasher = Hasher(algorithms)
        for piece in self.pieces(sha256):
            hasher.update(piece)
        return hasher.hex_digests()

    def verify(self, sha256: str, pace: Pace | None = None) -> int:
        """See BlobStore.verify."""
        hasher = Hasher(())
        size = 0
        for piece in self.pieces(sha256):
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
        with storage_errors(path):
            make_folder(self._set_aside)
            path.rename(self._set_aside / f"{sha256}-{time.time_ns()}")
            fsync_folder(path.parent)

    def pieces(self, sha256: str) -> Iterator[memoryview]:
        """See BlobStore.pieces."""
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        with self.open(sha256) as blob, storage_errors(self._path(sha256)):
            position = 0
            while count := os.preadv(blob.fd, [buffer], position):
                yield view[:count]
                position += count

    def check(self) -> None:
        """See BlobReader.check."""
        with storage_errors(self._blobs):
            os.listdir(self._incoming)
            os.stat(self._blobs)

    def remove_abandoned(self, *, patiently: bool = False) -> int:  # noqa: ARG002 - nothing whole is left here
        """See BlobStore.remove_abandoned."""
        return spool.remove_abandoned(self._incoming)

    def _path(self, sha256: str) -> Path:
        return self._root / blob_key(sha256)


class DiskBlobWriter:
    """See BlobWriter."""

    def __init__(self, file: SpoolFile, root: Path) -> None:
        self._file = file
        self._root = root
        self._flushing = FlushAhead(file.fd)
        self._size = 0
        self._stride_end = STRIDE_BYTES
        self._is_reserving = True
        self.discard = file.close

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See BlobWriter.write."""
        self._file.write(data)
        self._size += len(data)
        if self._size >= self._stride_end:
            self._begin_stride()

    def restart(self) -> None:
        """See BlobWriter.restart."""
        self._file.restart()
        self._size, self._stride_end = 0, STRIDE_BYTES

    def _begin_stride(self) -> None:
        with storage_errors(self._file.path):
            self._flushing.begin()
        self._stride_end = self._size + STRIDE_BYTES
        # Where there is no room, the write itself tells.
        self._is_reserving = self._is_reserving and reserve_room(self._file.fd, self._size, STRIDE_BYTES)

    def commit(self, sha256: str) -> None:
        """See BlobWriter.commit."""
        final = self._root / blob_key(sha256)
        with storage_errors(final):
            self._flushing.finish()
            if self._size >= STRIDE_BYTES:
                os.ftruncate(self._file.fd, self._size)  # gives back what was reserved
            os.fsync(self._file.fd)
            self.rename(sha256)
            # Also for a copy or a folder that was there: who made it may not have come so far yet.
            for folder in (final.parent, final.parent.parent):
                fsync_folder(folder)
        self.discard()

    def rename(self, sha256: str) -> None:
        """Give the bytes, which are on the disk by now, their name, which the caller has to flush. Raises OSError."""
        final = f"{self._root}/{blob_key(sha256)}"
        if not os.path.exists(final):  # the same bytes from elsewhere: the first copy stays
            try:
                os.rename(self._file.path, final)
            except FileNotFoundError:  # the first one with these two digits
                Path(final).parent.mkdir(exist_ok=True)
                os.rename(self._file.path, final)
            self._file.keep()
