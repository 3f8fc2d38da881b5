"""A blob of the cache as a reader has it: whole, or still coming in."""

import os
from typing import Protocol

from distfile_mirror.blobs.store import OpenBlob

# So many bytes at the end of each answer wait until the whole blob was verified.
HELD_BACK_BYTES = 65_536


class Progress(Protocol):
    """How far a blob has come in."""

    @property
    def is_verified(self) -> bool:
        """Tell whether all of it is there, and its digest is right."""

    @property
    def has_failed(self) -> bool:
        """Tell whether it will never be whole."""

    def available(self) -> int:
        """Return how many bytes are there now. Does not block. Raises StorageError once it has failed."""


class CachedBlob(OpenBlob):
    """A blob in the cache folder. ``progress``: None for one that was whole when it was opened.

    ``is_evicted``: the folder has it no more; who has it open reads on, and whoever comes next opens it anew.
    ``was_used``: since somebody looked the last time.
    """

    __slots__ = ("__weakref__", "_progress", "is_evicted", "was_used")

    def __init__(self, fd: int, size: int, progress: Progress | None = None) -> None:
        super().__init__(fd, size)
        self._progress = progress
        self.is_evicted = False
        self.was_used = True

    @property
    def is_stale(self) -> bool:
        """See OpenBlob.is_stale."""
        return self.is_evicted or (self._progress is not None and self._progress.has_failed)

    @property
    def is_whole(self) -> bool:
        """Tell whether it can be read like any other blob."""
        return self._progress is None or self._progress.is_verified

    def readable_end(self, first: int, end: int) -> int:
        """Return how far an answer with the bytes ``first`` to ``end`` may be read now. Raises StorageError.

        Before the digest is known to be right, the last bytes of the answer are held back, be it the
        whole blob or a range of it: nobody gets a whole body with wrong bytes.
        """
        if self._progress is None:
            return end
        available = self._progress.available()
        if self._progress.is_verified:
            return end
        return min(available, max(first, end - HELD_BACK_BYTES))

    def touch(self) -> None:
        """Tell the cache that it was used, if so, and find out whether it is there still. Raises OSError."""
        if self.fd < 0:
            return
        if self.was_used:
            self.was_used = False
            os.utime(self.fd)
        if os.fstat(self.fd).st_nlink == 0 and self.is_whole:
            self.is_evicted = True
