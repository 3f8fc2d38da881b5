"""Notes what was served and what was asked for in vain, in bounded memory, and writes it every few seconds.

Notes are worth less than serving: what does not fit, or cannot be written because the database is
away, is dropped and counted.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from distfile_mirror.catalog.seen import Artifact, MissKey, Seen, Sightings
from distfile_mirror.errors import MirrorError

MAX_ENTRIES = 10_000

log = structlog.get_logger()


class SightingsGatherer:
    """Gathers for one worker. All methods are called in the event loop's thread.

    ``write`` puts sightings into the catalog, in ``executor``; ``dropped`` counts notes that were lost.
    """

    def __init__(self, *, write: Callable[[Sightings], None], executor: Executor) -> None:
        self.dropped = 0
        self._write = write
        self._executor = executor
        self._hits: dict[tuple[Artifact, str], Seen] = {}
        self._misses: dict[MissKey, Seen] = {}
        self._writing = False
        self._told_bytes = 0

    def hit(self, artifact: Artifact, label: str) -> None:
        """Note that ``artifact`` was served to the build ``label``."""
        key = artifact, label
        seen = self._hits.get(key)
        if seen is not None:
            seen.count += 1
            seen.last_at = time.time()
        elif len(self._hits) < MAX_ENTRIES:
            now = time.time()
            self._hits[key] = Seen(1, now, now)
        else:
            self.dropped += 1

    def miss(self, key: MissKey) -> None:
        """Note that something was asked for in vain."""
        seen = self._misses.get(key)
        if seen is not None:
            seen.count += 1
            seen.last_at = time.time()
        elif len(self._misses) < MAX_ENTRIES:
            now = time.time()
            self._misses[key] = Seen(1, now, now)
        else:
            self.dropped += 1

    def flush(self, sent_bytes: int) -> None:
        """Write what there is, unless that is being done; ``sent_bytes``: all that was sent so far."""
        if self._writing or not (self._hits or self._misses):
            return
        self._writing = True
        self._executor.submit(self._write_now, self._take(sent_bytes))

    def flush_finally(self, sent_bytes: int) -> None:
        """Write what there is, before the process ends: whoever ends the executor waits for it."""
        if self._hits or self._misses:
            self._executor.submit(self._write_now, self._take(sent_bytes))

    def _take(self, sent_bytes: int) -> Sightings:
        hits = [(artifact, label, seen) for (artifact, label), seen in self._hits.items()]
        sightings = Sightings(hits, list(self._misses.items()), sent_bytes - self._told_bytes)
        self._told_bytes = sent_bytes
        self._hits, self._misses = {}, {}
        return sightings

    def _write_now(self, sightings: Sightings) -> None:
        """In a thread."""
        count = len(sightings.hits) + len(sightings.misses)
        try:
            self._write(sightings)
        except MirrorError as error:
            self.dropped += count
            log.warning("what was seen could not be noted", dropped=count, reason=str(error))
        except Exception:
            self.dropped += count
            log.exception("what was seen could not be noted", dropped=count)
        finally:
            self._writing = False
