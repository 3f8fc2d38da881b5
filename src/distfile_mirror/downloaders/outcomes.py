"""What an error of a download makes of its row."""

import random
from dataclasses import dataclass
from datetime import timedelta

from distfile_mirror.catalog.leases import Failed, Released
from distfile_mirror.downloaders.backlog import Claimed
from distfile_mirror.downloaders.backoff import next_wait
from distfile_mirror.downloaders.settings import LoopSettings
from distfile_mirror.errors import MirrorError, PermanentFetchError, StorageError, TransientFetchError


@dataclass(frozen=True, slots=True)
class Judged:
    """``outcome`` for the row; ``host_pause``: seconds for which its host is to be left alone, or None."""

    outcome: Failed | Released
    host_pause: float | None = None


def judge(claim: Claimed, error: Exception, settings: LoopSettings, chance: random.Random) -> Judged:
    """Decide what becomes of ``claim`` after ``error``, whatever that is."""
    match error:
        case PermanentFetchError():
            return Judged(Failed(claim.row_id, str(error), None))
        case StorageError():  # the fault is here, so it is not held against the file
            wait = timedelta(seconds=settings.storage_pause)
            return Judged(Released(claim.row_id, str(error), wait))
        case TransientFetchError(retry_after=retry_after):
            pause = None if retry_after is None else min(retry_after, settings.max_backoff)
            return Judged(_failed_attempt(claim, str(error), retry_after, settings, chance), pause)
        case MirrorError():
            return Judged(_failed_attempt(claim, str(error), None, settings, chance))
        case _:
            message = f"an unexpected fault of Distfile Mirror itself, see its log: {type(error).__name__}"
            return Judged(_failed_attempt(claim, message, None, settings, chance))


def left_alone(claim: Claimed, seconds: float) -> Released:
    """Put a row back whose host asked, on behalf of another row, to be left alone."""
    message = f"waiting: {claim.host} asked to be left alone for a while"
    return Released(claim.row_id, message, timedelta(seconds=max(0.0, seconds)))


def _failed_attempt(
    claim: Claimed, message: str, retry_after: float | None, settings: LoopSettings, chance: random.Random
) -> Failed:
    failures = claim.attempts + 1
    if failures >= settings.max_attempts:
        return Failed(claim.row_id, f"given up after {failures} attempts; the last one: {message}", None)
    wait = next_wait(
        failures,
        backoff=settings.backoff,
        max_backoff=settings.max_backoff,
        retry_after=retry_after,
        chance=chance,
    )
    return Failed(claim.row_id, message, timedelta(seconds=wait))
