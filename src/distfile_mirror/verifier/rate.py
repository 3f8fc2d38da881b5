"""So many bytes a second, and an end at any moment."""

import threading
import time

# No burst after a pause is longer than this.
MOST_SAVED_SECONDS = 1.0


class StoppedError(Exception):
    """Whoever reads is to stop."""


class Rate:
    """A Pace of a blob store: waits so that at most ``bytes_per_second`` are read (0: as fast as it goes)."""

    def __init__(self, bytes_per_second: float, stop: threading.Event) -> None:
        self._per_second = bytes_per_second
        self._stop = stop
        self._free_at = time.monotonic()

    def __call__(self, count: int) -> None:
        """Know of ``count`` bytes that were read. Raises StoppedError."""
        now = time.monotonic()
        if self._per_second:
            self._free_at = max(self._free_at, now - MOST_SAVED_SECONDS) + count / self._per_second
        if self._stop.wait(max(0.0, self._free_at - now)):
            raise StoppedError
