import random

from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.downloaders.backoff import next_wait


@given(st.integers(1, 10_000), st.floats(0.001, 100), st.floats(0.001, 100_000), st.integers())
def test_bounds(failures, backoff, longest, seed):
    wait = next_wait(failures, backoff=backoff, max_backoff=longest, retry_after=None, chance=random.Random(seed))
    assert min(backoff, longest) <= wait <= longest


def test_grows_and_spreads():
    def waits(failures):
        chance = random.Random(failures)
        return [next_wait(failures, backoff=2, max_backoff=3600, retry_after=None, chance=chance) for _ in range(1000)]

    assert max(waits(1)) <= 4 < max(waits(2)) <= 8 < max(waits(5)) <= 64
    assert len(set(waits(3))) > 900


def test_retry_after_is_kept_up_to_the_longest():
    chance = random.Random(1)
    assert next_wait(1, backoff=2, max_backoff=60, retry_after=30, chance=chance) == 30
    assert next_wait(1, backoff=2, max_backoff=60, retry_after=1e9, chance=chance) == 60
    assert next_wait(1, backoff=2, max_backoff=60, retry_after=0, chance=chance) == 0
