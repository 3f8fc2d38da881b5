"""Where the cache gets blobs from; and how it keeps from asking a store again and again that cannot be reached."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from distfile_mirror.blobs.object_errors import UnreachableError

# After a failure nobody asks for so long; then one does, while the others are told what happened.
QUIET_SECONDS = 1.0
PROBE_SECONDS = 15.0

T = TypeVar("T")


class BlobSource(Protocol):
    """What the cache needs of a store."""

    def size(self, sha256: str) -> int:
        """Return a blob's size in bytes. Raises BlobMissingError, StorageError."""

    def read(self, sha256: str, first: int = 0) -> tuple[int, Iterator[bytes]]:
        """Return a blob's size, and its bytes from ``first`` on in chunks. Raises BlobMissingError, StorageError."""

    def check(self) -> None:
        """Return if the store answers. Raises StorageError."""


class FailFastSource:
    """A BlobSource that fails at once while ``source`` cannot be reached, so that nobody's thread waits for it."""

    def __init__(self, source: BlobSource) -> None:
        self._source = source
        self._quiet_until = 0.0
        self._failure = UnreachableError()

    def size(self, sha256: str) -> int:
        """See BlobSource.size."""
        return self._ask(lambda: self._source.size(sha256))

    def read(self, sha256: str, first: int = 0) -> tuple[int, Iterator[bytes]]:
        """See BlobSource.read."""
        return self._ask(lambda: self._source.read(sha256, first))

    def check(self) -> None:
        """See BlobSource.check; it always asks."""
        self._source.check()
        self._quiet_until = 0.0

    def _ask(self, question: Callable[[], T]) -> T:
        quiet_until, now = self._quiet_until, time.monotonic()
        if now < quiet_until:
            raise UnreachableError(str(self._failure))
        if quiet_until:
            self._quiet_until = now + PROBE_SECONDS
        try:
            answer = question()
        except UnreachableError as error:
            self._failure, self._quiet_until = error, time.monotonic() + QUIET_SECONDS
            raise
        except BaseException:
            self._quiet_until = 0.0
            raise
        self._quiet_until = 0.0
        return answer
