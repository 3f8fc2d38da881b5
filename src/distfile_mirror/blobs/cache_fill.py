"""One blob on its way into the cache, as one process sees it: filled by a thread of its own, or by somebody else.

Looking never blocks, so that an event loop may do it.
"""

import os
import time
from collections.abc import Callable
from threading import Lock

from distfile_mirror.blobs.cache_folder import reopen, state_of, try_lock
from distfile_mirror.errors import MirrorError, StorageError

# How often the file is asked how far it is, whoever wants to know.
LOOK_SECONDS = 0.008
# A filler gives up after so long without a byte; one that does not is itself given up somewhat later.
FILLER_PATIENCE_SECONDS = 60.0
FOLLOWER_PATIENCE_SECONDS = 90.0


class Fill:
    """A Progress. ``fd`` is owned by it; ``take_over`` is called, without a wait, when nobody fills any more.

    ``is_filler``: whether this process has the lock of ``fd``.
    """

    def __init__(
        self, sha256: str, fd: int, size: int, *, is_filler: bool, take_over: Callable[["Fill"], object]
    ) -> None:
        self.sha256 = sha256
        self.fd = fd
        self.size = size
        self.is_filler = is_filler
        self.is_verified = False
        self._take_over = take_over
        self._problem: MirrorError | None = None
        self._bytes = 0
        self._lock = Lock()
        self._looked_at = 0.0
        self._moved_at = time.monotonic()

    @property
    def has_failed(self) -> bool:
        """See Progress.has_failed."""
        return self._problem is not None

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing will change any more."""
        return self.is_verified or self.has_failed

    def available(self) -> int:
        """See Progress.available."""
        if not self.is_filler and not self.is_settled and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        if self._problem is not None:
            raise StorageError(str(self._problem)) from self._problem
        return self._bytes

    def advance(self, count: int) -> None:
        """Take note that ``count`` bytes are there."""
        self._bytes = count

    def succeed(self) -> None:
        """Take note that all is there, and right."""
        self._bytes = self.size
        self.is_verified = True

    def fail(self, problem: MirrorError) -> None:
        """Take note that it will not come."""
        self._problem = problem

    def open_reader(self) -> int | None:
        """Return a new descriptor for reading, or None if ``close`` was called. Raises OSError."""
        with self._lock:
            return reopen(self.fd) if self.fd >= 0 else None

    def close(self) -> None:
        """Give up the descriptor, and with it the lock."""
        with self._lock:
            fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close

    def _look(self) -> None:
        now = time.monotonic()
        if self.fd < 0 or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        has_lock = try_lock(self.fd)
        state = state_of(self.fd)  # after that: what the last filler did is there to be seen
        if state.bytes != self._bytes:
            self._bytes, self._moved_at = state.bytes, now
        if state.is_verified:
            self.succeed()
        elif state.is_given_up:
            self.fail(StorageError(f"blob {self.sha256} could not be brought into the cache; the log says why"))
        elif has_lock:
            self.is_filler = True
            self._take_over(self)
        elif now - self._moved_at > FOLLOWER_PATIENCE_SECONDS:
            self.fail(StorageError(f"blob {self.sha256} does not come into the cache any further"))
