"""Goes through all blobs of the catalog in rounds: each is read and compared with its name.

Where a round stands is in the catalog, so whoever goes on, after a kill or on another machine, begins
where the last one was. What is damaged is marked, so that nobody is served it; nothing stored is touched, which is left
to who repairs it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

import structlog

from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, Pace
from distfile_mirror.catalog import damage, rounds
from distfile_mirror.catalog.damage import KnownBlob
from distfile_mirror.catalog.rounds import Going
from distfile_mirror.errors import StorageError, UnavailableError
from distfile_mirror.model.damage import Problem
from distfile_mirror.verifier.metrics import READ, VERIFIED
from distfile_mirror.verifier.rate import Rate, StoppedError
from distfile_mirror.verifier.totals import RoundTotals

LEASE = timedelta(seconds=120)
SAVE_SECONDS = 5.0
BLOBS_AT_ONCE = 200
# Between looks for a round to go, and after a database or a store that did not answer.
PAUSE_SECONDS = 15.0

T = TypeVar("T")

log = structlog.get_logger()


class VerifiableStore(Protocol):
    """What this needs of a blob store; see BlobStore."""

    def verify(self, sha256: str, pace: Pace | None = None) -> int:
        """Read a blob, compare, and return its size in bytes."""

    def check(self) -> None:
        """Return if the store answers. Raises StorageError."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did. ``read_bytes`` in bytes; ``finished``: a round was brought to its end, or none was due."""

    blobs: int = 0
    read_bytes: int = 0
    damaged: int = 0
    finished: bool = False


class Verifier:
    """Verifies for ``owner``, at most ``bytes_per_second``, until ``stop``. All methods block."""

    def __init__(
        self,
        store: VerifiableStore,
        *,
        owner: str,
        bytes_per_second: float,
        again_after: timedelta,
        stop: threading.Event,
        progress: Callable[[Going], object] = lambda _going: None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._rate = Rate(bytes_per_second, stop)
        self._again_after = again_after
        self._stop = stop
        self._progress = progress
        self._totals = RoundTotals(damage.count_blobs)
        self._saved_at = 0.0

    def run(self) -> Summary:
        """Go on with the round under way, or begin one, to its end. Raises UnavailableError if it cannot begin."""
        going = rounds.take(rounds.BLOBS, self._owner, lease=LEASE, again_after=self._again_after)
        if going is None:
            return Summary(finished=True)
        before = going.looked_at, going.read_bytes, going.found
        self._totals.show(going)
        try:
            finished = self._go(going)
        finally:
            self._totals.clear()
        blobs, read_bytes, found = (now - then for now, then in zip(_numbers(going), before, strict=True))
        return Summary(blobs, read_bytes, found, finished)

    def watch(self) -> None:
        """Go round after round until ``stop``."""
        while not self._stop.is_set():
            try:
                self.run()
            except UnavailableError as error:
                log.warning("blobs cannot be verified now", reason=str(error))
            self._stop.wait(PAUSE_SECONDS)

    def _go(self, going: Going) -> bool:
        log.info("verifying blobs", after=going.position or "the beginning", blobs=going.looked_at)
        while not self._stop.is_set():
            blobs = self._patiently(partial(damage.next_blobs, going.position, BLOBS_AT_ONCE))
            if blobs is None:
                break
            if not blobs:
                self._patiently(partial(rounds.finish, going))
                log.info("verified all blobs", blobs=going.looked_at, bytes=going.read_bytes, damaged=going.found)
                return True
            if not self._verify_each(going, blobs):
                break
        self._patiently(partial(rounds.leave, going), even_if_stopped=True)
        return False

    def _verify_each(self, going: Going, blobs: list[KnownBlob]) -> bool:
        """Return False if somebody else has the round now, or all is to stop."""
        for blob in blobs:
            try:
                self._verify(going, blob)
            except StoppedError:
                return False
            going.position = blob.sha256
            going.looked_at += 1
            self._progress(going)
            self._totals.show(going)
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                self._saved_at = time.monotonic()
                if not self._patiently(partial(rounds.keep, going, lease=LEASE)):
                    return False
        return True

    def _verify(self, going: Going, blob: KnownBlob) -> None:
        while True:
            try:
                size = self._store.verify(blob.sha256, self._rate)
                going.read_bytes += size
                READ.inc(size)
                VERIFIED.labels("sound").inc()
            except BlobMissingError as error:
                self._mark(going, blob, Problem.MISSING, str(error))
            except BlobCorruptError as error:
                self._mark(going, blob, Problem.CORRUPT, str(error))
            except StorageError as error:
                if self._is_away():
                    log.warning("blobs cannot be verified now", reason=str(error))
                    self._pause()
                    continue
                self._mark(going, blob, Problem.CORRUPT, str(error))
            return

    def _mark(self, going: Going, blob: KnownBlob, problem: Problem, message: str) -> None:
        going.found += 1
        VERIFIED.labels(problem.value).inc()
        log.error("a blob is damaged", sha256=blob.sha256, problem=problem.value, reason=message)
        self._patiently(partial(damage.record_damage, blob.sha256, problem, message, actor=self._owner))

    def _is_away(self) -> bool:
        try:
            self._store.check()
        except StorageError:
            return True
        return False

    def _patiently(self, call: Callable[[], T], *, even_if_stopped: bool = False) -> T | None:
        """Call until the database answers; None if all is to stop before."""
        while True:
            try:
                return call()
            except UnavailableError as error:
                log.warning("the catalog is away", reason=str(error))
                if even_if_stopped or self._stop.wait(PAUSE_SECONDS):
                    return None

    def _pause(self) -> None:
        if self._stop.wait(PAUSE_SECONDS):
            raise StoppedError


def _numbers(going: Going) -> tuple[int, int, int]:
    return going.looked_at, going.read_bytes, going.found
