import asyncio

import pytest

from distfile_mirror.downloaders.parallel import in_parallel
from distfile_mirror.errors import PermanentFetchError


def test_results_in_their_order_and_so_many_at_once():
    active, most = 0, 0

    async def double(number):
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001 * (5 - number % 5))
        active -= 1
        return 2 * number

    assert asyncio.run(in_parallel(double, range(20), at_once=3)) == list(range(0, 40, 2))
    assert most == 3
    assert asyncio.run(in_parallel(double, [], at_once=3)) == []


def test_the_first_error_ends_the_others():
    ended = []

    async def fail_at_two(number):
        try:
            await asyncio.sleep(0 if number == 2 else 60)
        except asyncio.CancelledError:
            ended.append(number)
            raise
        raise PermanentFetchError(f"number {number}")

    with pytest.raises(PermanentFetchError, match="number 2"):
        asyncio.run(in_parallel(fail_at_two, range(4), at_once=4))
    assert sorted(ended) == [0, 1, 3]


def test_cancelling_it_cancels_what_is_under_way():
    async def scenario():
        ended = []

        async def hang(number):
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(number)

        running = asyncio.create_task(in_parallel(hang, range(2), at_once=2))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return ended

    assert sorted(asyncio.run(scenario())) == [0, 1]
