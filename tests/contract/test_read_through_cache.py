"""The proxies' cache in front of a real object store, with what can happen to either."""

import os
import random
import stat
import threading
import time

import pytest

from distfile_mirror.blobs.cache_folder import CacheError
from distfile_mirror.blobs.cached_blob import HELD_BACK_BYTES
from distfile_mirror.blobs.read_through_cache import SMALL_BYTES, ReadThroughCache
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError
from distfile_mirror.errors import StorageError
from tests.contract.cache_readers import GENEROUS, files, put, read_through, sha256_of, wait_until, whole_files

SMALL = b"a small one" * 1000
LARGE = random.Random(7).randbytes(6_000_000)


@pytest.mark.parametrize("data", [b"", b"x", SMALL, bytes(SMALL_BYTES), LARGE], ids=len)
def test_a_blob_is_fetched_once_and_kept(place, cache, root, relay, data):
    sha256 = put(place, data)
    assert read_through(cache.open(sha256)) == data
    wait_until(lambda: whole_files(root) == {sha256})
    (path,) = root.glob("sha256/*/*")
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    for _ in range(3):
        assert read_through(cache.open(sha256)) == data
    assert relay.asked("GET", sha256) == [0]
    counts = cache.counts
    assert (counts.fills, counts.filled_bytes, counts.failed, counts.corrupt) == (1, len(data), 0, 0)
    assert counts.hits == 3


def test_what_is_not_there(cache, root):
    with pytest.raises(BlobMissingError):
        cache.open(sha256_of(b"nowhere"))
    assert files(root) == set()
    cache.check()


def test_a_large_blob_is_read_while_it_comes_in(place, cache, relay):
    sha256 = put(place, LARGE)
    relay.bytes_per_second = 2_000_000
    begun = time.monotonic()
    blob = cache.open(sha256)
    assert time.monotonic() - begun < 1.5
    wait_until(lambda: blob.readable_end(0, len(LARGE)) > 0)
    first = blob.readable_end(0, len(LARGE))
    assert first < len(LARGE) / 2
    assert os.pread(blob.fd, first, 0) == LARGE[:first]
    assert blob.readable_end(0, 1000) == 0  # a short range waits for the digest
    assert read_through(blob) == LARGE
    assert relay.asked("GET", sha256) == [0]


def test_small_blobs_in_several_threads_are_fetched_once_each(place, cache, relay):
    blobs = [b"%d" % number * 100 for number in range(10)]
    for data in blobs:
        put(place, data)
    got = []

    def read():
        got.extend(read_through(cache.open(sha256_of(data))) == data for data in blobs)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 80
    assert [relay.asked("GET", sha256_of(data)) for data in blobs] == [[0]] * 10


@pytest.mark.parametrize("wrong", [LARGE[:-1] + b"!", LARGE[::-1]], ids=["last-byte", "all"])
def test_a_corrupt_large_blob_is_never_whole(place, cache, root, wrong):
    sha256 = sha256_of(LARGE)
    place.overwrite(sha256, wrong)
    for _ in range(3):
        with pytest.raises((StorageError, BlobCorruptError), match="is corrupt") as caught:
            read_through(cache.open(sha256))
        assert len(getattr(caught.value, "received", b"")) <= len(LARGE) - HELD_BACK_BYTES
    assert files(root) == set()
    assert cache.counts.corrupt == 1  # the others were refused at once


def test_a_corrupt_small_blob_is_not_opened(place, cache, root):
    place.overwrite(sha256_of(SMALL), SMALL[::-1])
    for _ in range(2):
        with pytest.raises(BlobCorruptError, match="its bytes have sha256"):
            cache.open(sha256_of(SMALL))
    assert files(root) == set()
    assert cache.counts.corrupt == 1
    other = put(place, b"right")
    assert read_through(cache.open(other)) == b"right"


def test_a_blob_that_is_longer_than_it_says(place, cache, root):
    """What is left of an earlier fill, and was longer, is thrown away."""
    sha256 = put(place, LARGE)
    (root / "filling" / sha256).write_bytes(LARGE + b"more")
    assert read_through(cache.open(sha256)) == LARGE


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
def test_what_a_dead_process_left_is_finished(place, cache, root, relay, data):
    sha256 = put(place, data)
    there = len(data) // 2
    (root / "filling" / sha256).write_bytes(data[:there])
    assert read_through(cache.open(sha256)) == data
    assert relay.asked("GET", sha256) == [there if len(data) > SMALL_BYTES else 0]
    wait_until(lambda: whole_files(root) == {sha256})


def test_what_a_dead_process_left_complete_needs_no_store(place, cache, root, relay):
    sha256 = put(place, LARGE)
    (root / "filling" / sha256).write_bytes(LARGE)
    assert read_through(cache.open(sha256)) == LARGE
    assert relay.asked("GET", sha256) == []


def test_what_a_dead_process_left_verified_is_put_into_its_place(cache, root):
    sha256 = sha256_of(SMALL)
    left = root / "filling" / sha256
    left.write_bytes(SMALL)
    left.chmod(0o444)
    assert read_through(cache.open(sha256)) == SMALL
    assert whole_files(root) == files(root) == {sha256}


def test_a_store_that_breaks_off_is_asked_for_the_rest(place, cache, relay, ceph_gateway):
    sha256 = put(place, LARGE)
    relay.bytes_per_second = 3_000_000
    blob = cache.open(sha256)
    wait_until(lambda: blob.readable_end(0, blob.size) > 1_000_000)
    ceph_gateway.stop()
    relay.cut()
    time.sleep(1)
    relay.bytes_per_second = 0
    ceph_gateway.start()
    assert read_through(blob) == LARGE
    assert all(first > 0 for first in relay.asked("GET", sha256)[1:])


def test_what_is_hot_needs_no_store_and_what_is_cold_fails_at_once(place, cache, ceph_gateway):
    hot, cold = put(place, SMALL), put(place, LARGE)
    assert read_through(cache.open(hot)) == SMALL
    ceph_gateway.stop()
    with pytest.raises(StorageError, match="cannot be reached"):
        cache.open(cold)
    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(StorageError, match="cannot be reached"):
            cache.open(cold)
        assert read_through(cache.open(hot)) == SMALL
    assert time.monotonic() - begun < 2
    ceph_gateway.start()
    time.sleep(1.1)
    assert read_through(cache.open(cold)) == LARGE


def test_what_was_used_longest_ago_goes_first(place, root):
    blobs = [os.urandom(100_000) for _ in range(15)]
    names = [put(place, data) for data in blobs]
    with ReadThroughCache(place.store, root, limit=1_100_000) as cache:
        for name in names[:10]:
            cache.open(name).close()
        wait_until(lambda: whole_files(root) == set(names[:10]))
        for age, name in enumerate(names[:10]):
            (path,) = root.glob(f"sha256/*/{name}")
            os.utime(path, (time.time() - 1000 + age,) * 2)
        oldest = cache.open(names[1])  # the second oldest is used again
        oldest.close()
        kept = cache.open(names[2])
        (path,) = root.glob(f"sha256/*/{names[2]}")
        os.utime(path, (1, 1))
        for name in names[10:]:
            cache.open(name).close()
        wait_until(lambda: not list((root / "filling").iterdir()))
        left = whole_files(root)
        assert names[1] in left
        assert set(names[10:]) <= left
        assert not {names[0], names[2], names[3]} & left
        assert sum(path.stat().st_size for path in root.glob("sha256/*/*")) <= 1_100_000
        assert os.pread(kept.fd, kept.size, 0) == blobs[2]  # who has it open reads on
        wait_until(lambda: kept.is_stale)  # and the next one opens it anew
        kept.close()
        assert cache.counts.evicted >= 5


def test_a_blob_that_is_being_used_is_not_the_oldest(place, root):
    names = [put(place, os.urandom(100_000)) for _ in range(12)]
    with ReadThroughCache(place.store, root, limit=1_100_000) as cache:
        used = cache.open(names[0])
        for name in names[1:10]:
            cache.open(name).close()
        (path,) = root.glob(f"sha256/*/{names[0]}")
        os.utime(path, (1, 1))
        used.was_used = True
        wait_until(lambda: path.stat().st_mtime > 1)
        for name in names[10:]:
            cache.open(name).close()
        assert path.exists()
        used.close()


def test_a_blob_larger_than_the_cache_is_served_and_not_kept(place, root):
    sha256 = put(place, LARGE)
    with ReadThroughCache(place.store, root, limit=2_000_000) as cache:
        assert read_through(cache.open(sha256)) == LARGE
        wait_until(lambda: not files(root))
        assert read_through(cache.open(sha256)) == LARGE


def test_a_smaller_bound_holds_from_the_start(place, root):
    names = [put(place, os.urandom(100_000)) for _ in range(10)]
    with ReadThroughCache(place.store, root, limit=GENEROUS) as cache:
        for name in names:
            cache.open(name).close()
        wait_until(lambda: len(whole_files(root)) == 10)
    with ReadThroughCache(place.store, root, limit=500_000):
        wait_until(lambda: len(whole_files(root)) <= 5)


def test_a_full_disk_of_the_cache(place, small_disk):
    large, small = put(place, LARGE), put(place, SMALL)
    (small_disk / "ballast").write_bytes(bytes((1 << 20) - 30_000))
    with ReadThroughCache(place.store, small_disk / "cache", limit=GENEROUS) as cache:
        with pytest.raises(StorageError, match="No space left on device; see to its disk, or lower cache_bytes"):
            read_through(cache.open(large))
        for _ in range(3):
            for name, data in ((small, SMALL), (put(place, SMALL * 50), SMALL * 50)):
                assert read_through(cache.open(name)) == data
        (small_disk / "ballast").unlink()
        assert read_through(cache.open(small)) == SMALL
        wait_until(lambda: whole_files(small_disk / "cache") >= {small})


def test_a_disk_that_is_smaller_than_the_cache_may_be(place, small_disk):
    blobs = [os.urandom(200_000) for _ in range(12)]
    names = [put(place, data) for data in blobs]
    with ReadThroughCache(place.store, small_disk / "cache", limit=GENEROUS) as cache:
        for name, data in zip(names, blobs, strict=True):
            assert read_through(cache.open(name)) == data
            wait_until(lambda name=name: name in whole_files(small_disk / "cache"))
        assert cache.counts.evicted >= 7
        assert cache.counts.failed == 0


def test_a_folder_that_cannot_be_used(place, root):
    root.write_bytes(b"not a folder")
    with ReadThroughCache(place.store, root, limit=GENEROUS) as cache:
        assert read_through(cache.open(put(place, SMALL))) == SMALL
        with pytest.raises(CacheError, match=f"the cache in {root} failed: Not a directory"):
            cache.open(put(place, LARGE))
        with pytest.raises(CacheError):
            cache.check()
