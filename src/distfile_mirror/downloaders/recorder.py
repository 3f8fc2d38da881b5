"""Recording outcomes, many in one transaction: while one runs, the next ones gather.

While the catalog is away they are kept, and recorded when it is back.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import fields
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from distfile_mirror.catalog.leases import Failed, Released
from distfile_mirror.downloaders.catalog_thread import CatalogThread, wait_for_event
from distfile_mirror.downloaders.metrics import DOWNLOADED, DOWNLOADS
from distfile_mirror.downloaders.settings import Summary
from distfile_mirror.downloaders.unrecorded import Unrecorded
from distfile_mirror.errors import UnavailableError

MOST_AT_ONCE = 200
FETCHED = "fetched"
OUTCOMES = tuple(field.name for field in fields(Summary))

log = structlog.get_logger()


class RowOutcome(Protocol):
    """What became of a row."""

    @property
    def row_id(self) -> int:
        """Its key in the catalog."""


F = TypeVar("F", bound=RowOutcome)


class Recorder(Generic[F]):
    """Takes outcomes of a ``kind`` of artifact and records them by ``record``.

    ``on_recorded`` is called when nothing is left to record. In ``unrecorded`` is noted what was fetched by then.
    """

    def __init__(
        self,
        kind: str,
        catalog: CatalogThread,
        record: Callable[[Collection[F | Failed | Released]], None],
        on_recorded: Callable[[], None],
        unrecorded: Unrecorded,
    ) -> None:
        self._downloads = {name: DOWNLOADS.labels(kind, name) for name in OUTCOMES}
        self._downloaded = DOWNLOADED.labels(kind)
        self._counts: Counter[str] = Counter()
        self._catalog = catalog
        self._record = record
        self._on_recorded = on_recorded
        self._unrecorded = unrecorded
        self._outcomes: list[F | Failed | Released] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def summary(self) -> Summary:
        """What was taken so far."""
        return Summary(**self._counts)

    @property
    def idle(self) -> bool:
        """Tell whether all is recorded."""
        return self._idle.is_set()

    def add(self, outcome: F | Failed | Released) -> None:
        """Take an outcome, to be recorded at once if nothing else is being recorded."""
        self._outcomes.append(outcome)
        name = _kind(outcome)
        if name == FETCHED:
            self._unrecorded.add(outcome)
        self._counts[name] += 1
        self._downloads[name].inc()
        self._downloaded.inc(getattr(outcome, "size", 0))
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        """Record whatever comes, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._outcomes:
                await self._record_some()
            self._idle.set()
            self._on_recorded()

    async def flush(self, seconds: float) -> None:
        """Return when all is recorded, or after so many seconds; the leases return then what is not."""
        await wait_for_event(self._idle, seconds)
        if not self.idle:
            log.error(
                "outcomes could not be recorded in time", rows=len(self._outcomes), noted=self._unrecorded.is_complete
            )

    async def _record_some(self) -> None:
        batch = self._outcomes[:MOST_AT_ONCE]
        try:
            await self._catalog.call(partial(self._record, batch))
        except UnavailableError:
            await asyncio.sleep(self._catalog.pause)
            return
        except Exception:
            log.exception("outcomes cannot be recorded together; trying each by itself", rows=len(batch))
            await self._record_each(batch)
        del self._outcomes[: len(batch)]
        self._unrecorded.forget(outcome.row_id for outcome in batch)

    async def _record_each(self, batch: list[F | Failed | Released]) -> None:
        """Record what can be recorded; a row that cannot is fetched again when its lease ends."""
        for outcome in batch:
            try:
                await self._catalog.call(partial(self._record, [outcome]))
            except Exception:
                log.exception("an outcome cannot be recorded", row_id=outcome.row_id)


def _kind(outcome: RowOutcome) -> str:
    """Return the field of Summary, and the label, that counts ``outcome``: one of OUTCOMES."""
    match outcome:
        case Failed(retry_in=None):
            return "failed"
        case Failed():
            return "to_be_retried"
        case Released():
            return "released"
        case _:
            return FETCHED
