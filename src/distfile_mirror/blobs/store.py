"""What the rest of the product knows of a blob store: a few verbs, and nothing of where bytes lie."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

from distfile_mirror.errors import MirrorError

# Takes the bytes that were read just now, and may wait before more of them are.
Pace = Callable[[int], None]
Pieces = Iterator[bytes] | Iterator[memoryview]
_SHA256 = re.compile(r"[0-9a-f]{64}")


def blob_key(sha256: str) -> str:
    """Return where every store keeps a blob, relative to its root. Raises ValueError for what is no sha256."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is not a sha256 in lower-case hexadecimal")
    return f"sha256/{sha256[:2]}/{sha256}"


class BlobMissingError(MirrorError):
    """The blob store does not hold these bytes."""


class BlobCorruptError(MirrorError):
    """The blob store holds bytes that are not those of the digest."""


class OpenBlob:
    """A blob open for reading: a file descriptor at its own and ``size`` in bytes.

    It stays readable until ``close``, whatever happens to the folder it lies in.
    """

    __slots__ = ("fd", "size")

    @property
    def is_stale(self) -> bool:
        """Tell whether the next reader had better open it anew."""
        return False

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size

    def close(self) -> None:
        """Give the descriptor back; closing twice does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    # A blob may be shared by many answers; the last one to let go of it closes it.
    __del__ = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlobWriter(Protocol):
    """Bytes on their way into the store; invisible until ``commit``."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``. Raises StorageError, StorageFullError."""

    def restart(self) -> None:
        """Throw away what was written and begin anew. Raises StorageError."""

    def commit(self, sha256: str) -> None:
        """Make the bytes permanent under ``sha256``, which the caller computed while writing them.

        When it returns, they survive a power cut. Raises StorageError, StorageFullError.
        """

    def discard(self) -> None:
        """Forget the bytes; after ``commit`` it does nothing. Never raises."""


class BlobReader(Protocol):
    """All that the proxy needs of a store."""

    def open(self, sha256: str) -> OpenBlob:
        """Open a blob. Raises BlobMissingError, StorageError."""

    def check(self) -> None:
        """Return if the store answers. Raises StorageError."""


class BlobStore(BlobReader, Protocol):
    """A store that is written to as well."""

    def create(self) -> BlobWriter:
        """Begin a blob. Raises StorageError, StorageFullError."""

    def store_together(self, contents: Mapping[str, bytes]) -> None:
        """Store several small blobs, sha256 -> bytes, at the cost of about one; all are permanent on return.

        Raises:
            StorageError, StorageFullError: and any of them may be stored or not.
        """

    def size(self, sha256: str) -> int:
        """Return a blob's size in bytes, without reading it. Raises BlobMissingError, StorageError."""

    def pieces(self, sha256: str) -> Pieces:
        """Yield a blob's bytes, unverified; each piece is void when the next is asked for.

        Raises:
            BlobMissingError, StorageError.
        """

    def contains(self, sha256: str) -> bool:
        """Tell whether the blob is stored. Raises StorageError."""

    def digests(self, sha256: str, algorithms: Iterable[str]) -> dict[str, str]:
        """Read a blob and return algorithm -> hex of its bytes. Raises BlobMissingError, StorageError."""

    def verify(self, sha256: str, pace: Pace | None = None) -> int:
        """Read a blob, compare, and return its size in bytes; ``pace`` is called with each piece's size.

        Raises:
            BlobMissingError, BlobCorruptError, StorageError.
        """

    def set_aside(self, sha256: str) -> None:
        """Move the bytes under ``sha256``, which are wrong, out of the way, for somebody to look at.

        What is stored under it next takes its place. Until then it is missing, or, where nobody may delete, empty.

        Raises:
            StorageError: also if there are none.
        """

    def remove_abandoned(self, *, patiently: bool = False) -> int:
        """Remove what dead processes left half-written, and store what they left whole; return how many files.

        ``patiently``: also wait until others have stored what was whole. Raises StorageError.
        """
