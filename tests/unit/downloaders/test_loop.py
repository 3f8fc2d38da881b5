"""The loop on a queue in memory: what it does when things stop, stall, or are away."""

import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from distfile_mirror.catalog.queue import Failed, Fetched, Released
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.loop import DownloadLoop
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.downloaders.unrecorded import Unrecorded
from distfile_mirror.errors import PermanentFetchError, StorageFullError, TransientFetchError, UnavailableError

SETTINGS = LoopSettings(concurrency=4, concurrency_per_host=2, poll=0.01, stop_grace=0.1, lease=0.3, storage_pause=0.05)


@dataclass(frozen=True)
class Row:
    row_id: int
    host: str = "up.test"
    attempts: int = 0
    request_id: str = ""

    @property
    def uri(self):
        return f"https://{self.host}/{self.row_id}"


class FakeQueue:
    """Rows to be claimed once; ``away`` makes every call fail, ``hangs`` reports wait; ``lost``: rows of others."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.outcomes = {}
        self.reports = []
        self.batches = []
        self.take_overs = []
        self.away = threading.Event()
        self.hangs = threading.Event()
        self.lost = set()

    def claim(self, owner, *, limit, lease, excluded_hosts=(), take_over=True):
        self.take_overs.append(take_over)
        self._check()
        found = [row for row in self.rows if row.host not in excluded_hosts][:limit]
        self.rows = [row for row in self.rows if row not in found]
        return found

    def report(self, owner, progress, *, lease):
        self._check()
        self.reports.append(dict(progress))
        if self.hangs.is_set():
            time.sleep(3 * SETTINGS.lease)
        return self.lost & set(progress)

    def record(self, owner, outcomes):
        self._check()
        self.batches.append(len(outcomes))
        self.outcomes |= {outcome.row_id: outcome for outcome in outcomes}

    def _check(self):
        if self.away.is_set():
            raise UnavailableError("away")


def done(row):
    return Fetched(row.row_id, "a" * 64, 1, {}, {}, row.uri)


async def run(queue, fetch, *, watch=False, stop=None, settings=SETTINGS):
    with tempfile.TemporaryFile() as notes:
        async with CatalogThread() as catalog:
            loop = DownloadLoop(
                owner="one",
                kind="file",
                queue=queue,
                catalog=catalog,
                fetch=fetch,
                settings=settings,
                unrecorded=Unrecorded(notes.fileno()),
                stop=stop or asyncio.Event(),
            )
            return await loop.run(watch=watch)


async def at_once(row, meter):
    await asyncio.sleep(0)
    return done(row)


def test_does_all_that_is_due_and_returns():
    queue = FakeQueue([Row(number, f"{number % 7}.test") for number in range(500)])
    assert asyncio.run(run(queue, at_once)) == Summary(fetched=500)
    assert len(queue.outcomes) == 500
    assert len(queue.batches) < 400  # many in one transaction


def test_limits_are_kept():
    active, most = [], {"all": 0, "host": 0}

    async def fetch(row, meter):
        active.append(row.host)
        most["all"] = max(most["all"], len(active))
        most["host"] = max(most["host"], active.count(row.host))
        await asyncio.sleep(0.001)
        active.remove(row.host)
        return done(row)

    asyncio.run(run(FakeQueue([Row(number, f"{number % 3}.test") for number in range(60)]), fetch))
    assert most == {"all": 4, "host": 2}


@pytest.mark.parametrize(
    ("error", "attempts", "outcome", "words"),
    [
        (PermanentFetchError("gone"), 0, Failed, "gone"),
        (TransientFetchError("busy"), 0, Failed, "busy"),
        (TransientFetchError("busy"), 11, Failed, "given up after 12 attempts"),
        (ValueError("a bug"), 0, Failed, "unexpected fault"),
        (StorageFullError("full"), 11, Released, "full"),
    ],
)
def test_errors_become_outcomes(error, attempts, outcome, words):
    async def fetch(row, meter):
        raise error

    queue = FakeQueue([Row(1, attempts=attempts)])
    asyncio.run(run(queue, fetch))
    assert isinstance(queue.outcomes[1], outcome)
    assert words in queue.outcomes[1].message
    lasting = isinstance(error, PermanentFetchError) or "given up" in words
    assert (queue.outcomes[1].retry_in is None) == lasting


def test_stop_gives_back_what_is_not_done():
    async def scenario():
        stop = asyncio.Event()
        hang = asyncio.Event()

        async def fetch(row, meter):
            if row.row_id:
                await hang.wait()
            stop.set()
            await asyncio.sleep(0.02)
            return done(row)

        queue = FakeQueue([Row(number) for number in range(20)])
        return queue, await run(queue, fetch, watch=True, stop=stop)

    queue, summary = asyncio.run(scenario())
    assert isinstance(queue.outcomes[0], Fetched)
    assert summary.fetched == 1
    claimed = set(range(20)) - {row.row_id for row in queue.rows}
    assert set(queue.outcomes) == claimed
    assert all(isinstance(queue.outcomes[number], Released) for number in claimed - {0})


def test_watch_goes_on_with_what_comes_later():
    async def scenario():
        stop = asyncio.Event()

        async def fetch(row, meter):
            stop.set()
            return done(row)

        queue = FakeQueue([])
        running = asyncio.create_task(run(queue, fetch, watch=True, stop=stop))
        await asyncio.sleep(0.05)
        queue.rows.append(Row(7))
        await asyncio.wait_for(running, 5)
        return queue

    assert set(asyncio.run(scenario()).outcomes) == {7}


def test_outcomes_are_kept_while_the_catalog_is_away():
    async def scenario():
        queue = FakeQueue([Row(number) for number in range(4)])

        async def fetch(row, meter):
            queue.away.set()
            await asyncio.sleep(0)
            return done(row)

        running = asyncio.create_task(run(queue, fetch))
        await asyncio.sleep(0.3)
        assert not queue.outcomes
        assert not running.done()
        queue.away.clear()
        return queue, await running

    queue, summary = asyncio.run(scenario())
    assert summary.fetched == 4
    assert len(queue.outcomes) == 4


def test_leases_are_renewed_without_progress_too():
    async def fetch(row, meter):
        meter.received_bytes = row.row_id
        await asyncio.sleep(0.4)
        return done(row)

    queue = FakeQueue([Row(number) for number in range(1, 4)])  # the third one waits
    asyncio.run(run(queue, fetch))
    renewed = [report.keys() for report in queue.reports]
    assert sum(1 in ids for ids in renewed) >= 2
    assert sum(3 in ids for ids in renewed) >= 2
    assert any(report[1].received_bytes == 1 for report in queue.reports if 1 in report)


def test_a_host_that_asks_for_it_is_left_alone():
    async def fetch(row, meter):
        if row.host == "busy.test":
            raise TransientFetchError("429", retry_after=20)
        return done(row)

    queue = FakeQueue([Row(number, "busy.test") for number in range(9)] + [Row(100, "fine.test")])
    settings = replace(SETTINGS, concurrency_per_host=1)
    asyncio.run(run(queue, fetch, settings=settings))
    assert isinstance(queue.outcomes[100], Fetched)
    assert isinstance(queue.outcomes[0], Failed)
    others = [queue.outcomes[number] for number in range(1, 9) if number in queue.outcomes]
    assert others
    assert all(isinstance(outcome, Released) and outcome.retry_in > timedelta(seconds=19) for outcome in others)


def test_a_full_store_pauses_everything():
    calls = []

    async def fetch(row, meter):
        calls.append(row.row_id)
        if len(calls) <= 2:
            raise StorageFullError
        return done(row)

    queue = FakeQueue([Row(number) for number in range(50)])
    summary = asyncio.run(run(queue, fetch))
    assert len(calls) == 2
    assert summary.released == len(queue.outcomes) == 50 - len(queue.rows)


def test_what_others_may_have_begun_anew_is_let_go():
    async def scenario():
        queue = FakeQueue([Row(number) for number in range(3)])  # the third one waits for its host
        stopped = []
        both = asyncio.Event()

        async def fetch(row, meter):
            queue.away.set()
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                stopped.append(row.row_id)
                if len(stopped) == 2:
                    both.set()
                raise

        stop = asyncio.Event()
        running = asyncio.create_task(run(queue, fetch, watch=True, stop=stop))
        await asyncio.wait_for(both.wait(), 10)
        stop.set()
        queue.away.clear()
        return queue, await asyncio.wait_for(running, 10)

    queue, summary = asyncio.run(scenario())
    assert summary == Summary(released=3)
    assert all(isinstance(outcome, Released) for outcome in queue.outcomes.values())


def stopped_after(change):
    """Return after how many seconds a download is stopped if ``change`` happens to the queue when it has begun."""

    async def scenario():
        queue = FakeQueue([Row(1)])
        begun = 0.0
        stopped = asyncio.Event()

        async def fetch(row, meter):
            nonlocal begun
            begun = time.monotonic()
            change(queue)
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                stopped.set()
                raise

        stop = asyncio.Event()
        running = asyncio.create_task(run(queue, fetch, watch=True, stop=stop))
        await asyncio.wait_for(stopped.wait(), 10)
        took = time.monotonic() - begun
        stop.set()
        await asyncio.wait_for(running, 10)
        assert isinstance(queue.outcomes[1], Released)
        return took

    return asyncio.run(scenario())


def test_what_another_has_taken_over_is_let_go_at_once():
    assert stopped_after(lambda queue: queue.lost.add(1)) < SETTINGS.lease


def test_a_catalog_that_does_not_answer_keeps_nobody_from_letting_go():
    took = stopped_after(lambda queue: queue.hangs.set())
    assert SETTINGS.lease / 2 < took < 2 * SETTINGS.lease


def test_after_an_outage_nobody_is_taken_over_for_the_time_of_a_lease():
    async def scenario():
        queue = FakeQueue([])
        stop = asyncio.Event()
        running = asyncio.create_task(run(queue, at_once, watch=True, stop=stop))
        await asyncio.sleep(0.1)
        assert all(queue.take_overs)
        queue.away.set()
        await asyncio.sleep(0.1)
        queue.away.clear()
        queue.take_overs.clear()
        await asyncio.sleep(1)
        stop.set()
        await running
        return queue.take_overs

    take_overs = asyncio.run(scenario())
    assert not take_overs[0]
    assert take_overs[-1]


def test_who_begins_may_do_so_right_after_an_outage():
    async def scenario():
        async with CatalogThread(may_be_back=True) as catalog:
            at_first = catalog.has_answered_for(0.2)
            await asyncio.sleep(0.25)
            return at_first, catalog.has_answered_for(0.2)

    assert asyncio.run(scenario()) == (False, True)
