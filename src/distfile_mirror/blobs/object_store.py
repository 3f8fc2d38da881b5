"""Blobs in an object store: ``PREFIX/sha256/ab/abcd…``, uploaded only when all bytes are there and hashed.

What is being written lies in a local folder, the spool. Since an object's name is its digest, two
that upload the same one write the same bytes, and it does not matter who is last: nothing relies on
conditional requests, which not every store has. Every upload is asked about afterwards.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore

import obstore

from distfile_mirror.blobs import spool
from distfile_mirror.blobs.object_connection import Connections
from distfile_mirror.blobs.object_errors import UnreachableError, object_errors
from distfile_mirror.blobs.spool import SpoolFile, storage_errors
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, OpenBlob, Pace, blob_key
from distfile_mirror.errors import StorageError
from distfile_mirror.model.checksums import Hasher

CHUNK_BYTES = 1 << 20
# An upload holds PART_CONCURRENCY parts in memory, and no more than LARGE_UPLOADS of them go on at a time.
PART_BYTES = 8 << 20
PART_CONCURRENCY = 4
LARGE_UPLOADS = 4
MAX_PARTS = 9_000
SMALL_UPLOADS = 16
# S3 copies no larger object in one request.
COPIED_BYTES = 5 << 30
# No blob has this name, so the answer costs nothing, and tells bucket and credentials.
_NOBODY = "sha256/is-anybody-there"


class ObjectBlobStore:
    """A BlobStore in an object store. ``name``: how people know it; ``folder``: the spool, created if need be."""

    def __init__(self, connections: Connections, *, name: str, folder: Path) -> None:
        self._reading, self._writing = connections
        self._name = name
        self._spool = folder
        self._large_uploads = BoundedSemaphore(LARGE_UPLOADS)

    def prepare(self) -> None:
        """Create the spool; the store itself may be away. Raises StorageError."""
        with storage_errors(self._spool):
            self._spool.mkdir(parents=True, exist_ok=True)

    def open(self, sha256: str) -> OpenBlob:
        """See BlobReader.open: the blob is brought here whole, and verified. Raises BlobCorruptError, too."""
        hasher = Hasher()
        with storage_errors(self._spool), tempfile.TemporaryFile(dir=self._spool, buffering=0) as file:
            size, chunks = self.read(sha256)
            for chunk in chunks:
                hasher.update(chunk)
                file.write(chunk)
            self._compare(sha256, hasher.hex_digests()["sha256"])
            return OpenBlob(os.dup(file.fileno()), size)

    def read(self, sha256: str, first: int = 0) -> tuple[int, Iterator[bytes]]:
        """Return a blob's size, and its bytes from ``first`` (less than its size) on in chunks, unverified.

        Raises:
            BlobMissingError, StorageError: and the iterator StorageError.
        """
        key = blob_key(sha256)
        with object_errors(self._name, key):
            if first:
                result = obstore.get(self._reading, key, options={"range": {"offset": first}})
            else:
                result = obstore.get(self._reading, key)
        return result.meta["size"], self._chunks(key, result)

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """See BlobStore.pieces."""
        return self.read(sha256)[1]

    def size(self, sha256: str) -> int:
        """See BlobStore.size."""
        key = blob_key(sha256)
        with object_errors(self._name, key):
            return obstore.head(self._reading, key)["size"]

    def contains(self, sha256: str) -> bool:
        """See BlobStore.contains."""
        try:
            self.size(sha256)
        except BlobMissingError:
            return False
        return True

    def create(self) -> "ObjectBlobWriter":
        """See BlobStore.create."""
        return ObjectBlobWriter(SpoolFile(self._spool), self)

    def store_together(self, contents: Mapping[str, bytes]) -> None:
        """See BlobStore.store_together."""
        if contents:
            with ThreadPoolExecutor(min(SMALL_UPLOADS, len(contents)), "uploads") as pool:
                for upload in [pool.submit(self.upload, *item) for item in contents.items()]:
                    upload.result()

    def upload(self, sha256: str, source: bytes | Path) -> None:
        """Store what ``source`` has, whose digest is ``sha256``, unless it is there. Raises StorageError."""
        key = blob_key(sha256)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if self._stored_size(sha256) == size:
            return
        try:
            if size <= PART_BYTES:
                self._put(key, source, size)
            else:
                with self._large_uploads:
                    self._put(key, source, size)
        except BlobMissingError as error:
            raise StorageError(f"the blob store failed: {self._name} has no place for {key}") from error
        stored = self._stored_size(sha256)
        if stored != size:
            has = "is not there" if stored is None else f"has {stored} bytes"
            raise StorageError(f"the blob store failed: {key} was uploaded to {self._name} and {has}, not {size} bytes")

    def digests(self, sha256: str, algorithms: Iterable[str]) -> dict[str, str]:
        """See BlobStore.digests."""
        hasher = Hasher(algorithms)
        _size, chunks = self.read(sha256)
        for chunk in chunks:
            hasher.update(chunk)
        return hasher.hex_digests()

    def verify(self, sha256: str, pace: Pace | None = None) -> int:
        """See BlobStore.verify."""
        hasher = Hasher()
        size, chunks = self.read(sha256)
        for chunk in chunks:
            hasher.update(chunk)
            if pace is not None:
                pace(len(chunk))
        self._compare(sha256, hasher.hex_digests()["sha256"])
        return size

    def set_aside(self, sha256: str) -> None:
        """See BlobStore.set_aside."""
        key = blob_key(sha256)
        try:
            with object_errors(self._name, key):
                if self.size(sha256) <= COPIED_BYTES:
                    obstore.copy(self._writing, key, f"damaged/{sha256}-{time.time_ns()}")
            self._remove(key)
        except BlobMissingError as error:
            raise StorageError(str(error)) from error

    def _remove(self, key: str) -> None:
        try:
            with object_errors(self._name, key):
                obstore.delete(self._writing, key)
        except UnreachableError:
            raise
        except StorageError:  # who may not delete, which is right, may still overwrite
            with object_errors(self._name, key):
                obstore.put(self._writing, key, b"")

    def check(self) -> None:
        """See BlobReader.check."""
        try:
            with object_errors(self._name, _NOBODY):
                obstore.get(self._reading, _NOBODY)
        except BlobMissingError:
            return

    def remove_abandoned(self, *, patiently: bool = False) -> int:
        """See BlobStore.remove_abandoned."""
        return spool.remove_abandoned(self._spool, self._finish, patiently=patiently)

    def _finish(self, path: str, sha256: str) -> None:
        """Upload what a dead process had whole, if that was true."""
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == sha256:
            self.upload(sha256, Path(path))

    def _put(self, key: str, source: bytes | Path, size: int) -> None:
        part = max(PART_BYTES, -(-size // MAX_PARTS))
        with object_errors(self._name, key):
            obstore.put(self._writing, key, source, chunk_size=part, max_concurrency=PART_CONCURRENCY)

    def _stored_size(self, sha256: str) -> int | None:
        try:
            return self.size(sha256)
        except BlobMissingError:
            return None

    def _chunks(self, key: str, result: "obstore.GetResult") -> Iterator[bytes]:
        with object_errors(self._name, key):
            yield from result.stream(CHUNK_BYTES)

    def _compare(self, sha256: str, found: str) -> None:
        if found != sha256:
            raise BlobCorruptError(
                f"{blob_key(sha256)} in the blob store {self._name} is corrupt: its bytes have sha256 {found}"
            )


class ObjectBlobWriter:
    """See BlobWriter."""

    def __init__(self, file: SpoolFile, store: ObjectBlobStore) -> None:
        self._file = file
        self._store = store
        self.write = file.write
        self.restart = file.restart
        self.discard = file.close

    def commit(self, sha256: str) -> None:
        """See BlobWriter.commit: all bytes are in the store when it returns."""
        self._file.is_whole(sha256)  # so that it need not be fetched again if this process dies meanwhile
        with storage_errors(self._file.path):
            self._store.upload(sha256, Path(self._file.path))
        self.discard()
