"""How much a round comes to in all, so that how far it is can be told as a part of it."""

import time
from collections.abc import Callable

import structlog

from distfile_mirror.catalog.damage import BlobTotals
from distfile_mirror.catalog.rounds import Going
from distfile_mirror.errors import UnavailableError
from distfile_mirror.verifier.metrics import ROUND_BLOBS, ROUND_BYTES, ROUND_READ

# Counting a million blobs takes seconds: it is done no more often than this, and for no more of the time.
LEAST_SECONDS = 60.0
PART_OF_TIME = 0.01

log = structlog.get_logger()


class RoundTotals:
    """Tells in metrics what ``count`` counts, and how far the round is."""

    def __init__(self, count: Callable[[], BlobTotals]) -> None:
        self._count = count
        self._due_at = float("-inf")

    def show(self, going: Going) -> None:
        """Tell how far ``going`` is, and count anew if it is time."""
        ROUND_READ.set(going.read_bytes)
        if (begun := time.monotonic()) < self._due_at:
            return
        try:
            totals = self._count()
        except UnavailableError as error:
            log.warning("blobs cannot be counted now", reason=str(error))
        else:
            ROUND_BLOBS.set(totals.blobs)
            ROUND_BYTES.set(totals.size)
        now = time.monotonic()
        self._due_at = now + max(LEAST_SECONDS, (now - begun) / PART_OF_TIME)

    def clear(self) -> None:
        """Tell that there is no round, and count when the next one begins."""
        self._due_at = float("-inf")
        for gauge in (ROUND_BLOBS, ROUND_BYTES, ROUND_READ):
            gauge.set(0)
