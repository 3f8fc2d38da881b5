"""Several processes with one cache, as the workers of a proxy have it; any of them may be killed."""

import os
import random
import signal
import threading
import time

import pytest

from distfile_mirror.blobs.cached_blob import HELD_BACK_BYTES
from distfile_mirror.blobs.read_through_cache import ReadThroughCache
from distfile_mirror.errors import StorageError
from tests.contract.cache_readers import Reader, put, read_through, sha256_of, wait_until, whole_files

LARGE = random.Random(7).randbytes(6_000_000)


def test_many_readers_in_several_processes_fetch_once(place, cache, root, relay):
    sha256 = put(place, LARGE)
    relay.bytes_per_second = 6_000_000
    got = []
    threads = [threading.Thread(target=lambda: got.append(read_through(cache.open(sha256)))) for _ in range(20)]
    with Reader(place, root) as one, Reader(place, root) as other:
        for reader in (one, other):
            reader.ask(sha256)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for reader in (one, other):
            assert (reader.says(), reader.says()) == ("opened", "read")
    assert got == [LARGE] * 20
    assert relay.asked("GET", sha256) == [0]


def test_followers_of_a_corrupt_blob_do_not_get_it_either(place, cache, root, relay):
    sha256 = sha256_of(LARGE)
    place.overwrite(sha256, LARGE[::-1])
    relay.bytes_per_second = 10_000_000
    with Reader(place, root) as other:
        other.ask(sha256)
        assert other.says() == "opened"
        with pytest.raises(StorageError, match="could not be brought into the cache") as caught:
            read_through(cache.open(sha256))
        assert len(caught.value.received) <= len(LARGE) - HELD_BACK_BYTES
        assert other.says() == ""  # it ended with the error
    assert relay.asked("GET", sha256) == [0]


def test_a_filler_that_is_killed_is_replaced(place, cache, root, relay):
    sha256 = put(place, LARGE)
    relay.bytes_per_second = 3_000_000
    with Reader(place, root) as filler:
        filler.ask(sha256)
        assert filler.says() == "opened"
        blob = cache.open(sha256)
        wait_until(lambda: blob.readable_end(0, blob.size) > 1_000_000)
        relay.bytes_per_second = 0
        filler.process.kill()
        filler.process.wait()
        assert read_through(blob) == LARGE
    first, second = relay.asked("GET", sha256)
    assert first == 0
    assert second > 1_000_000
    wait_until(lambda: whole_files(root) == {sha256})


def test_two_processes_keep_to_the_bound_together(place, root):
    limit = 2_000_000
    names = [put(place, os.urandom(150_000)) for _ in range(40)]
    with Reader(place, root, limit) as one, Reader(place, root, limit) as other:
        for number, name in enumerate(names):
            reader = one if number % 2 else other
            reader.ask(name)
            assert (reader.says(), reader.says()) == ("opened", "read")
            assert sum(path.stat().st_size for path in root.glob("*/*/*")) <= limit + 150_000
        wait_until(lambda: not list((root / "filling").iterdir()))
        assert limit / 2 < sum(path.stat().st_size for path in root.glob("sha256/*/*")) <= limit


def test_killed_at_any_moment(place, root):
    """Readers are killed and replaced; nobody reads anything wrong, and in the end all is in order."""
    chance = random.Random(17)
    limit = 12_000_000
    names = [put(place, chance.randbytes(size)) for size in (1, 10_000, 500_000, 1_500_000, 4_000_000) * 4]
    until = time.monotonic() + 12
    read, ends = [], []

    def use():
        while time.monotonic() < until:
            with Reader(place, root, limit) as reader:
                killer = threading.Timer(chance.uniform(0.02, 1.5), reader.process.kill)
                killer.start()
                while reader.process.poll() is None:
                    try:
                        reader.ask(chance.choice(names))
                    except OSError:
                        break
                    read.append((reader.says(), reader.says()))
                killer.join()
                ends.append(reader.process.wait())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) >= 8
    assert set(ends) == {-signal.SIGKILL}  # and none by an error
    assert set(read) <= {("opened", "read"), ("opened", ""), ("", "")}
    assert read.count(("opened", "read")) > 100
    with ReadThroughCache(place.store, root, limit=limit) as cache:
        for name in names:
            assert sha256_of(read_through(cache.open(name))) == name
        wait_until(lambda: not list((root / "filling").iterdir()))
    assert sum(path.stat().st_size for path in root.glob("sha256/*/*")) <= limit
    for path in root.glob("sha256/*/*"):
        assert sha256_of(path.read_bytes()) == path.name
