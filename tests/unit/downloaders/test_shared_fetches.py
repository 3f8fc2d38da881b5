"""What several images want at the same time: fetched once, counted for each, cancelled with the last of them."""

import asyncio

import pytest

from distfile_mirror.catalog.image_facts import FoundBlob
from distfile_mirror.downloaders.blob_sink import Meter
from distfile_mirror.downloaders.shared_fetches import SharedFetches
from distfile_mirror.errors import PermanentFetchError, StorageError
from distfile_mirror.model.digests import Digest

KEY = (Digest("sha256", "a" * 64), 10)
FOUND = FoundBlob("a" * 64, 10)


class Fetch:
    """Counts calls; each gives 5 bytes, waits until it is let go, gives 5 more, and ends as it was told."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.calls = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self, tally):
        self.calls += 1
        tally.count(5)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        tally.count(5)
        end = self.ends.pop(0) if self.ends else FOUND
        if isinstance(end, Exception):
            raise end
        return end


def begin(shared, fetch, count=3):
    meters = [Meter() for _ in range(count)]
    return meters, [asyncio.create_task(shared.get(KEY, meter, fetch)) for meter in meters]


def test_one_fetch_for_all():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch()
        meters, tasks = begin(shared, fetch, 2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late, late_tasks = begin(shared, fetch, 1)  # what has come by then counts for it too
        await asyncio.sleep(0)
        assert [meter.received_bytes for meter in (*meters, *late)] == [5, 5, 5]
        fetch.go.set()
        assert await asyncio.gather(*tasks, *late_tasks) == [FOUND] * 3
        assert [meter.received_bytes for meter in (*meters, *late)] == [10, 10, 10]
        assert fetch.calls == 1
        # What is done is not remembered: the store knows it.
        await shared.get(KEY, Meter(), fetch)
        assert fetch.calls == 2

    asyncio.run(scenario())


def test_who_joined_tries_for_itself_after_a_failure():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch(PermanentFetchError("not in this registry"))
        meters, tasks = begin(shared, fetch)
        fetch.go.set()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, PermanentFetchError)
        assert others == [FOUND, FOUND]
        assert fetch.calls == 2
        assert [meter.received_bytes for meter in meters] == [0, 10, 10]

    asyncio.run(scenario())


def test_a_failure_of_everybodys_ends():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch(*(PermanentFetchError(str(number)) for number in range(3)))
        _, tasks = begin(shared, fetch)
        fetch.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, PermanentFetchError) for result in results)
        assert fetch.calls == 3

    asyncio.run(scenario())


def test_a_fault_of_the_store_is_everybodys():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch(StorageError("full"))
        _, tasks = begin(shared, fetch)
        fetch.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)
        assert fetch.calls == 1

    asyncio.run(scenario())


def test_it_goes_on_for_those_who_still_wait():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch()
        _, tasks = begin(shared, fetch)
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert not fetch.cancelled
        fetch.go.set()
        assert await asyncio.gather(*tasks[1:]) == [FOUND] * 2
        assert fetch.calls == 1

    asyncio.run(scenario())


def test_it_ends_with_the_last_who_waited():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch()
        _, tasks = begin(shared, fetch, 2)
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert fetch.cancelled == 1
        fetch.go.set()
        assert await shared.get(KEY, Meter(), fetch) == FOUND

    asyncio.run(scenario())


def test_who_comes_while_it_is_being_cancelled_begins_anew():
    async def scenario():
        shared, fetch = SharedFetches(), Fetch()
        _, tasks = begin(shared, fetch, 1)
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        newcomer = asyncio.create_task(shared.get(KEY, Meter(), fetch))
        fetch.go.set()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await newcomer == FOUND

    asyncio.run(scenario())


def test_a_store_that_is_away_is_told_to_all_who_wait():
    async def scenario():
        told = []

        async def fetch(tally):
            await asyncio.sleep(0.01)
            tally.store_away()
            return FOUND

        shared = SharedFetches()
        meters = [Meter(on_store_away=lambda number=number: told.append(number)) for number in range(2)]
        assert await asyncio.gather(*(shared.get(KEY, meter, fetch) for meter in meters)) == [FOUND, FOUND]
        return told

    assert asyncio.run(scenario()) == [0, 1]
