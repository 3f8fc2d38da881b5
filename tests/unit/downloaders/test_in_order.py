"""Jobs of one owner in the threads of a pool."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.downloaders.in_order import InOrder

PATIENCE_SECONDS = 10


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_jobs_are_done_one_after_the_other(pool):
    jobs, done, at_once = InOrder(pool), [], []
    lock = threading.Lock()

    def job(number):
        at_once.append(lock.acquire(blocking=False))
        done.append(number)
        lock.release()
        return number

    futures = [jobs.submit(lambda number=number: job(number)) for number in range(500)]
    assert [future.result(PATIENCE_SECONDS) for future in futures] == list(range(500)) == done
    assert all(at_once)


def test_owners_do_not_wait_for_each_other(pool):
    go = threading.Event()
    slow = InOrder(pool).submit(lambda: go.wait(PATIENCE_SECONDS))
    assert InOrder(pool).submit(lambda: 1).result(PATIENCE_SECONDS) == 1
    go.set()
    assert slow.result(PATIENCE_SECONDS)


def test_what_a_job_raises_is_raised_where_it_is_waited_for_and_the_next_one_is_done(pool):
    jobs = InOrder(pool)
    bad, good = jobs.submit(lambda: 1 // 0), jobs.submit(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        bad.result(PATIENCE_SECONDS)
    assert good.result(PATIENCE_SECONDS) == 1


def test_what_was_cancelled_before_it_began_is_left_out(pool):
    jobs, go, done = InOrder(pool), threading.Event(), []
    jobs.submit(lambda: go.wait(PATIENCE_SECONDS))
    out = jobs.submit(lambda: done.append("out"))
    last = jobs.submit(lambda: done.append("last"))
    assert out.cancel()
    go.set()
    last.result(PATIENCE_SECONDS)
    assert done == ["last"]
