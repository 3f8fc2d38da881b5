"""Batches that gather while one is being stored."""

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.downloaders.small_blobs import MOST_AT_ONCE, SmallBlobs
from distfile_mirror.errors import StorageError


class Store:
    """Keeps what it is given, when it is let to; it can fail."""

    def __init__(self):
        self.batches = []
        self.open = threading.Event()
        self.broken = False

    def store_together(self, contents):
        self.open.wait(5)
        if self.broken:
            raise StorageError("the blob store failed")
        self.batches.append(dict(contents))


def commit(store, count, *, cancel=()):
    async def run():
        with ThreadPoolExecutor(1) as pool:
            blobs = SmallBlobs(store, pool)
            contents = [b"%d" % number for number in range(count)]
            tasks = [
                asyncio.create_task(blobs.commit(hashlib.sha256(content).hexdigest(), content)) for content in contents
            ]
            await asyncio.sleep(0)
            for number in cancel:
                tasks[number].cancel()
            store.open.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_one_batch_after_the_other():
    store = Store()
    assert commit(store, 3 * MOST_AT_ONCE) == [None] * 3 * MOST_AT_ONCE
    assert sum(map(len, store.batches)) == 3 * MOST_AT_ONCE
    assert max(map(len, store.batches)) == MOST_AT_ONCE


def test_a_failure_reaches_all_of_its_batch():
    store = Store()
    store.broken = True
    assert [type(result) for result in commit(store, 3)] == [StorageError] * 3


def test_who_is_cancelled_disturbs_nobody():
    store = Store()
    results = commit(store, 5, cancel=(0, 3))
    assert [type(result) for result in results] == [
        asyncio.CancelledError,
        type(None),
        type(None),
        asyncio.CancelledError,
        type(None),
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_it_works_again_after_being_idle(count):
    store = Store()
    for _ in range(2):
        assert commit(store, count) == [None] * count
