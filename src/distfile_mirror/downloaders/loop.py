"""The loop of a downloader: claim -> fetch -> verify -> commit -> record, whatever kind of artifact it is.

It dies of nothing that an upstream, the catalog or the blob store does. While the catalog is
away, downloads go on and their outcomes are kept; what was claimed and not finished goes back.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from distfile_mirror.catalog.leases import Failed, Progress, Released
from distfile_mirror.downloaders.backlog import Backlog, Claimed
from distfile_mirror.downloaders.blob_sink import Meter
from distfile_mirror.downloaders.catalog_thread import CatalogThread, wait_for_event
from distfile_mirror.downloaders.leases import Leases
from distfile_mirror.downloaders.metrics import ACTIVE, DURATION
from distfile_mirror.downloaders.outcomes import judge, left_alone
from distfile_mirror.downloaders.recorder import Recorder, RowOutcome
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.unrecorded import Unrecorded
from distfile_mirror.errors import MirrorError, StorageError, UnavailableError
from distfile_mirror.model.request_ids import new_request_id

# Of what is being stored there may be so many for each one that may come.
STORED_FOR_EACH = 3

C = TypeVar("C", bound=Claimed)
# What is recorded of a row that was fetched, by its kind of artifact.
F = TypeVar("F", bound=RowOutcome)
F_contra = TypeVar("F_contra", bound=RowOutcome, contravariant=True)

log = structlog.get_logger()


class Queue(Protocol[C, F_contra]):
    """What the loop needs of a queue in the catalog; the modules catalog.queue and catalog.image_queue are such."""

    def claim(
        self, owner: str, *, limit: int, lease: timedelta, excluded_hosts: Collection[str], take_over: bool
    ) -> list[C]:
        """Claim rows that are due; ``take_over``: also those whose lease has run out. Raises UnavailableError."""

    def report(self, owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> Collection[int]:
        """Write progress and renew leases; return the rows whose lease was lost. Raises UnavailableError."""

    def record(self, owner: str, outcomes: Collection[F_contra | Failed | Released]) -> None:
        """Record outcomes. Raises UnavailableError, and nothing was recorded."""


class DownloadLoop(Generic[C, F]):
    """One downloader of a ``kind`` of artifact.

    ``fetch`` fetches a row, verifies, commits and returns its outcome, or raises a MirrorError.
    """

    def __init__(
        self,
        *,
        owner: str,
        kind: str,
        queue: Queue[C, F],
        catalog: CatalogThread,
        fetch: Callable[[C, Meter], Awaitable[F]],
        settings: LoopSettings,
        unrecorded: Unrecorded,
        stop: asyncio.Event,
    ) -> None:
        self._owner = owner
        self._queue = queue
        self._catalog = catalog
        self._fetch = fetch
        self._settings = settings
        self._stop = stop
        self._lease = timedelta(seconds=settings.lease)
        self._backlog: Backlog[C] = Backlog(concurrency=settings.concurrency, per_host=settings.concurrency_per_host)
        self._leases = Leases(settings.lease)
        self._meters: dict[int, Meter] = {}
        self._group: asyncio.TaskGroup
        self._loop: asyncio.AbstractEventLoop
        # What is being stored counts for no host, and must not pile up in memory: of small files, all of each.
        self._most_tasks = (1 + STORED_FOR_EACH) * settings.concurrency
        self._transferring: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_of: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._active, self._duration = ACTIVE.labels(kind), DURATION.labels(kind)
        self._recorder: Recorder[F] = Recorder(kind, catalog, partial(queue.record, owner), self._wake.set, unrecorded)
        self._claim_after = 0.0
        self._excluded_when_dry: frozenset[str] = frozenset()
        self._storage_failed_until = 0.0
        self._chance = random.Random()  # noqa: S311 - spreads retries, protects nothing

    async def run(self, *, watch: bool) -> Summary:
        """Do all that is due now and return, or with ``watch`` go on until ``stop`` is set."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._loop = asyncio.get_running_loop()
            chores = (self._recorder.run(), self._renew_leases(), self._let_go_of_lost())
            background = [group.create_task(chore) for chore in chores]
            waker = group.create_task(self._wake_on_stop())
            try:
                await self._claim_and_start(watch=watch)
                await self._wind_down()
            finally:
                for task in (*self._tasks, *background, waker):
                    task.cancel()
        return self._recorder.summary

    async def _claim_and_start(self, *, watch: bool) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            if self._now() >= self._storage_failed_until:
                self._start_waiting()
                claimed = await self._claim()
                if claimed:
                    continue
                if not watch and claimed == 0 and self._is_done():
                    return
            elif not watch and not self._tasks:
                return  # the store is full or broken: no use in going on
            await wait_for_event(self._wake, self._next_look())

    def _is_done(self) -> bool:
        return not self._tasks and not self._backlog.waiting() and self._recorder.idle

    def _next_look(self) -> float:
        now = self._now()
        moments = [self._claim_after, self._storage_failed_until, *self._backlog.cooling(now).values()]
        return min((moment - now for moment in moments if moment > now), default=self._settings.poll)

    async def _claim(self) -> int | None:
        """Claim what there is room for; return how many rows, or None if there was no reason to look."""
        now = self._now()
        room = self._backlog.room()
        excluded = frozenset(self._backlog.full_hosts()) | self._backlog.cooling(now).keys()
        is_idle = self._is_done() and not self._catalog.pause
        again = now >= self._claim_after or bool(self._excluded_when_dry - excluded) or is_idle
        if not room or not again:
            return None
        # After an outage all have the time of a lease to come back and record what they did meanwhile.
        take_over = self._catalog.has_answered_for(self._settings.lease)
        call = partial(
            self._queue.claim,
            self._owner,
            limit=room,
            lease=self._lease,
            excluded_hosts=excluded,
            take_over=take_over,
        )
        try:
            claims = await self._catalog.call(call)
        except UnavailableError:
            self._claim_after = self._now() + self._catalog.pause
            return None
        is_dry = len(claims) < room
        self._claim_after = self._now() + self._settings.poll if is_dry else 0.0
        self._excluded_when_dry = excluded if is_dry else frozenset()
        self._take(claims)
        return len(claims)

    def _take(self, claims: list[C]) -> None:
        now = self._now()
        cooling = self._backlog.cooling(now)
        self._leases.claimed((claim.row_id for claim in claims), now)
        self._backlog.add(claim for claim in claims if claim.host not in cooling)
        for claim in claims:
            if claim.host in cooling:
                self._finish(claim, left_alone(claim, cooling[claim.host] - now))

    def _start_waiting(self) -> None:
        while len(self._tasks) < self._most_tasks and (claim := self._backlog.start_next()):
            if self._leases.has_lost(claim.row_id, self._now()):
                self._backlog.finish(claim.host)
                self._finish(claim, Released(claim.row_id))
                continue
            self._meters[claim.row_id] = Meter(
                on_transferred=partial(self._transferred, claim), on_store_away=self._pause_for_storage
            )
            self._transferring.add(claim.row_id)
            task = self._group.create_task(self._run_one(claim))
            self._tasks.add(task)
            self._task_of[claim.row_id] = task
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        was_full = len(self._tasks) >= self._most_tasks
        self._tasks.discard(task)
        if was_full or not self._tasks:
            self._go_on()

    async def _run_one(self, claim: C) -> None:
        outcome: F | Failed | Released
        # Of this task's own context, and so of whatever it does.
        request_id = claim.request_id or new_request_id()
        structlog.contextvars.bind_contextvars(request_id=request_id, row_id=claim.row_id)
        begun = self._now()
        try:
            with self._active.track_inprogress():
                outcome = await self._fetch(claim, self._meters[claim.row_id])
            self._duration.observe(self._now() - begun)
        except asyncio.CancelledError:
            outcome = Released(claim.row_id)
        except Exception as error:  # noqa: BLE001 - it is logged and recorded: one bad row must not end the loop
            outcome = self._failed(claim, error)
        del self._meters[claim.row_id], self._task_of[claim.row_id]
        self._transferred(claim)
        self._finish(claim, outcome)

    def _transferred(self, claim: C) -> None:
        """Free the host for the next row; calling it again does nothing."""
        if claim.row_id in self._transferring:
            self._transferring.remove(claim.row_id)
            self._backlog.finish(claim.host)
            self._go_on()

    def _go_on(self) -> None:
        """Start what waits, at once; the rest of the loop's work is woken only if there is any."""
        if not self._stop.is_set() and self._now() >= self._storage_failed_until:
            self._start_waiting()
        if self._backlog.room() or not self._tasks:
            self._wake.set()

    def _failed(self, claim: C, error: Exception) -> Failed | Released:
        judged = judge(claim, error, self._settings, self._chance)
        outcome = judged.outcome
        retry_in = None if outcome.retry_in is None else round(outcome.retry_in.total_seconds(), 3)
        trace = None if isinstance(error, MirrorError) else error
        log.warning("failed", uri=claim.uri, error=outcome.message, retry_in=retry_in, exc_info=trace)
        if isinstance(error, StorageError):
            self._pause_for_storage()
        if judged.host_pause:
            for other in self._backlog.cool(claim.host, self._now() + judged.host_pause):
                self._finish(other, left_alone(other, judged.host_pause))
        return outcome

    def _pause_for_storage(self) -> None:
        """Begin nothing new for a while."""
        self._storage_failed_until = self._now() + self._settings.storage_pause

    def _finish(self, claim: C, outcome: F | Failed | Released) -> None:
        self._leases.finished(claim.row_id)
        self._recorder.add(outcome)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._leases.interval)
            now = self._now()
            progress = self._leases.due(self._meters, now)
            if not progress:
                continue
            try:
                report = partial(self._queue.report, self._owner, progress, lease=self._lease)
                lost = await self._catalog.call(report)
            except UnavailableError:
                await asyncio.sleep(self._catalog.pause)
            except Exception:
                log.exception("progress could not be reported")
            else:
                self._leases.renewed(progress, now)
                self._leases.taken_away(lost)

    async def _let_go_of_lost(self) -> None:
        """Stop what another downloader may have begun anew: nothing is to be fetched twice.

        By the clock: who is cut off from the catalog may wait long for a call that fails.
        """
        while True:
            await asyncio.sleep(self._leases.interval)
            for row_id in self._leases.lost(self._now()):
                task = self._task_of.get(row_id)
                if task is not None and not task.cancelling():
                    log.warning("a lease could not be renewed; the download is stopped", row_id=row_id)
                    task.cancel()

    async def _wind_down(self) -> None:
        """Give back what has not begun, let the rest finish for a while, then give that back too."""
        for claim in self._backlog.drain():
            self._finish(claim, Released(claim.row_id))
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=self._settings.stop_grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._recorder.flush(self._settings.stop_grace)

    async def _wake_on_stop(self) -> None:
        await self._stop.wait()
        self._wake.set()

    def _now(self) -> float:
        return self._loop.time()
