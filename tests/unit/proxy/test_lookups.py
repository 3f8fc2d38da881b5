"""What a worker remembers: with a real store, and a catalog that is a dict which can be away."""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.read_through_cache import ReadThroughCache
from distfile_mirror.catalog.found import FoundContent, FoundFile, MissingImage, Why
from distfile_mirror.errors import MirrorError, UnavailableError
from distfile_mirror.model.states import State
from distfile_mirror.proxy import fail_fast, lookups
from distfile_mirror.proxy.files import ServedFile
from distfile_mirror.proxy.lookups import Lookups
from distfile_mirror.proxy.served_before import ServedBefore

URI = "https://example.org/a"


class Catalog:
    def __init__(self):
        self.files = {}
        self.asked = 0
        self.away = False
        self.answers = threading.Event()
        self.answers.set()

    def find(self, uri, _request=None):
        self.asked += 1
        self.answers.wait()
        if self.away:
            raise UnavailableError("the database does not answer now")
        return self.files.get(uri)


class Bench:
    """Lookups, its catalog and store, and the loop's part: calls are made when ``find`` waits for them."""

    def __init__(
        self, folder, executor, *, max_entries=100, max_bytes=1000, through=lambda store: store, questions=None
    ):
        self.catalog = Catalog()
        self.store = DiskBlobStore(folder)
        self.store.prepare()
        self._calls = Queue()
        self.lookups = Lookups(
            find=self.catalog.find,
            blobs=through(self.store),
            before=ServedBefore(folder.parent / "served", identity="catalog", max_rows=100, executor=executor),
            questions=questions or executor,
            executor=executor,
            call_soon=lambda *call: self._calls.put(call),
            max_entries=max_entries,
            max_bytes=max_bytes,
        )

    def hold(self, uri, content, state=State.PRESENT):
        sha256 = hashlib.sha256(content).hexdigest()
        writer = self.store.create()
        writer.write(content)
        writer.commit(sha256)
        self.catalog.files[uri] = FoundFile(uri, state, "", sha256, len(content), {"Content-Type": "text/plain"})

    def find(self, uri=URI):
        results = []
        self.lookups.find(uri, None, results.append)
        while not results:
            self.take_call()
        return results[0]

    def take_call(self):
        function, *arguments = self._calls.get(timeout=5)
        function(*arguments)


@pytest.fixture
def bench(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        yield Bench(tmp_path / "blobs", executor)


def test_a_present_file_is_asked_for_once(bench):
    bench.hold(URI, b"content")
    assert bench.lookups.cached(URI) is None
    found = bench.find()
    assert isinstance(found, ServedFile)
    assert found.body == b"content"
    assert bench.lookups.cached(URI) is found
    assert bench.catalog.asked == 1


def test_a_large_file_is_opened_and_not_read(bench):
    content = b"x" * (lookups.SMALL_BYTES + 1)
    bench.hold(URI, content)
    found = bench.find()
    assert found.body is None
    assert found.blob.size == len(content)


def test_a_miss_is_remembered_for_a_moment(bench, monkeypatch):
    monkeypatch.setattr(lookups, "MISS_SECONDS", 60)
    assert bench.find() is None
    bench.hold(URI, b"declared meanwhile")
    assert bench.find() is None
    assert bench.catalog.asked == 1
    bench.lookups.tick()
    assert bench.find().body == b"declared meanwhile"


def test_who_asks_again_after_a_declaration_is_served(bench):
    assert bench.find() is None
    bench.hold(URI, b"declared meanwhile")
    time.sleep(lookups.MISS_SECONDS)
    assert bench.find().body == b"declared meanwhile"


@pytest.mark.parametrize("state", [state for state in State if state is not State.PRESENT])
def test_what_is_not_present_is_told_and_not_served(bench, state):
    bench.hold(URI, b"content", state)
    assert bench.find().state is state
    assert bench.lookups.cached(URI) is None


def test_blocking_moves_the_revision_and_is_seen(bench):
    bench.hold(URI, b"content")
    bench.find()
    bench.hold(URI, b"content", State.BLOCKED)
    assert bench.lookups.cached(URI) is not None
    bench.lookups.set_revision(1)
    assert bench.lookups.cached(URI) is None
    assert bench.find().state is State.BLOCKED
    bench.hold(URI, b"content")
    bench.lookups.set_revision(2)
    assert isinstance(bench.find(), ServedFile)


def test_with_the_database_away_what_was_served_is_served_on(bench):
    bench.hold(URI, b"content")
    bench.find()
    bench.catalog.away = True
    assert bench.lookups.cached(URI) is not None
    bench.lookups.set_revision(1)
    assert bench.find().body == b"content"
    other = bench.find("https://example.org/other")
    assert isinstance(other, UnavailableError)
    bench.catalog.away = False
    assert bench.find("https://example.org/other") is None


def test_what_is_served_while_the_database_is_away_is_looked_up_when_it_is_back(bench):
    bench.hold(URI, b"content")
    bench.find()
    bench.lookups.set_revision(1)
    bench.catalog.away = True
    assert bench.find().body == b"content"
    bench.catalog.away = False
    bench.hold(URI, b"content", State.BLOCKED)
    assert bench.find().state is State.BLOCKED


def test_what_another_worker_served_is_served_while_the_database_is_away(bench, tmp_path):
    bench.hold(URI, b"content")
    bench.hold("https://example.org/blocked", b"content")
    bench.find()
    bench.find("https://example.org/blocked")
    bench.hold("https://example.org/blocked", b"content", State.BLOCKED)
    bench.lookups.set_revision(1)
    bench.find("https://example.org/blocked")
    bench.lookups.tick()
    bench.find("https://example.org/none")  # in the same thread, after what was noted
    with ThreadPoolExecutor(1) as executor:
        other = Bench(tmp_path / "blobs", executor)
        other.catalog.away = True
        assert other.find().body == b"content"
        assert isinstance(other.find("https://example.org/blocked"), UnavailableError)
        assert isinstance(other.find("https://example.org/never"), UnavailableError)
        other.catalog.away = False
        assert other.find() is None  # the catalog has the word


def test_who_waits_for_a_database_that_hangs_holds_up_nobody_for_long(tmp_path):
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(2) as questions:
        bench = Bench(tmp_path / "blobs", executor, max_bytes=10, questions=questions)
        bench.hold(URI, b"more than ten bytes")
        bench.find()
        assert bench.lookups.cached(URI) is None  # it must be opened again
        waiting = []
        bench.catalog.answers.clear()
        try:
            for number in range(2):
                bench.lookups.find(f"{URI}/{number}", None, waiting.append)
            assert bench.find().body == b"more than ten bytes"
            time.sleep(fail_fast.HANGING_SECONDS + 0.1)
            assert isinstance(bench.find(f"{URI}/other"), UnavailableError)
            bench.lookups.set_revision(1)
            assert bench.find().body == b"more than ten bytes"
            assert waiting == []
        finally:
            bench.catalog.answers.set()
        while len(waiting) < 2:
            bench.take_call()
        assert waiting == [None, None]
        assert bench.find(f"{URI}/other") is None


def test_a_blob_that_is_not_there_is_our_fault_and_not_a_miss(bench):
    bench.hold(URI, b"content")
    for path in (bench.store._root / "sha256").glob("*/*"):
        path.unlink()
    assert isinstance(bench.find(), MirrorError)
    assert bench.lookups.cached(URI) is None


def test_a_blob_of_another_size_is_never_served(bench):
    bench.hold(URI, b"content")
    for path in (bench.store._root / "sha256").glob("*/*"):
        path.chmod(0o644)
        path.write_bytes(b"conten")
    assert isinstance(bench.find(), UnavailableError)


def test_memory_is_bounded_and_the_place_still_known(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor, max_bytes=250)
        for number in range(5):
            bench.hold(f"{URI}{number}", b"%d" % number * 100)
            bench.find(f"{URI}{number}")
        assert [bench.lookups.cached(f"{URI}{number}") is not None for number in range(5)] == [False] * 3 + [True] * 2
        assert bench.find(f"{URI}0").body == b"0" * 100
        assert bench.catalog.asked == 5


def manifest(content, *, permanent=True):
    return FoundContent("sha256:" + "ab" * 32, "application/json", len(content), content=content, permanent=permanent)


def test_a_manifest_has_its_bytes_in_the_catalog_and_is_asked_for_again_when_there_was_no_room(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor, max_bytes=250)
        for number in range(3):
            bench.catalog.files[f"{URI}{number}"] = manifest(b"%d" % number * 100)
            assert bench.find(f"{URI}{number}").body == b"%d" % number * 100
        assert bench.lookups.cached(f"{URI}0") is None
        assert bench.lookups.cached(f"{URI}2") is not None
        assert bench.find(f"{URI}0").body == b"0" * 100
        assert bench.catalog.asked == 4


def test_what_a_blob_can_be_opened_for_makes_room_for_manifests(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor, max_bytes=250)
        bench.catalog.files[f"{URI}manifest"] = manifest(b"m" * 100)
        bench.find(f"{URI}manifest")
        for number in range(3):
            bench.hold(f"{URI}{number}", b"%d" % number * 100)
            bench.find(f"{URI}{number}")
        assert bench.lookups.cached(f"{URI}manifest") is not None
        assert bench.lookups.cached(f"{URI}2") is not None
        bench.catalog.away = True
        assert [bench.find(f"{URI}{number}").body for number in range(3)] == [b"%d" % n * 100 for n in range(3)]
        assert bench.find(f"{URI}manifest").body == b"m" * 100


def test_what_may_change_is_not_remembered(bench):
    bench.catalog.files[URI] = manifest(b"a list", permanent=False)
    assert bench.find().body == b"a list"
    assert bench.lookups.cached(URI) is None
    bench.catalog.files[URI] = manifest(b"a longer list", permanent=False)
    assert bench.find().body == b"a longer list"


def test_a_missing_image_is_told_and_remembered_for_a_second(bench):
    bench.catalog.files[URI] = MissingImage("registry.test", "a", "sha256:0", Why.NOT_DECLARED)
    assert bench.find().why is Why.NOT_DECLARED
    bench.find()
    assert bench.catalog.asked == 1


def test_the_number_of_open_blobs_is_bounded(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor)
        bench.hold(URI, b"x" * (lookups.SMALL_BYTES + 1))
        known = bench.catalog.files[URI]
        first = None
        for number in range(lookups.MAX_OPEN_BLOBS + 1):
            bench.catalog.files[f"{URI}{number}"] = known
            found = bench.find(f"{URI}{number}")
            first = first or found
        assert bench.lookups.cached(f"{URI}0") is None
        assert first.blob.fd >= 0, "an answer under way keeps its blob"
        assert bench.find(f"{URI}0").blob is not None


def test_the_number_of_entries_is_bounded(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor, max_entries=3)
        for number in range(5):
            bench.hold(f"{URI}{number}", b"x")
            bench.find(f"{URI}{number}")
        assert [bench.lookups.cached(f"{URI}{number}") is not None for number in range(5)] == [False] * 2 + [True] * 3


class Source:
    """A store as the cache asks it."""

    def __init__(self, store):
        self._store = store

    def size(self, sha256):
        with self._store.open(sha256) as blob:
            return blob.size

    def read(self, sha256, first=0):
        with self._store.open(sha256) as blob:
            return blob.size, iter([os.pread(blob.fd, blob.size, first)])

    def check(self):
        self._store.check()


def open_descriptors():
    return {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}


def test_what_the_cache_has_no_more_is_let_go_of_and_opened_anew(tmp_path):
    content = os.urandom(lookups.SMALL_BYTES + 1)
    root = tmp_path / "cache"
    caches = []

    def through(store):
        caches.append(ReadThroughCache(Source(store), root, limit=1 << 30))
        return caches[0].__enter__()

    with ThreadPoolExecutor(1) as executor:
        bench = Bench(tmp_path / "blobs", executor, through=through)
        bench.hold(URI, content)
        found = bench.find()
        until = time.monotonic() + 5
        while not (files := list(root.glob("sha256/*/*"))):
            assert time.monotonic() < until
            time.sleep(0.01)
        bench.lookups.forget_stale()
        assert bench.lookups.cached(URI) is found
        files[0].unlink()
        found.blob.touch()
        assert os.pread(found.blob.fd, found.size, 0) == content  # whoever has it reads on
        assert bench.lookups.cached(URI) is None
        bench.lookups.forget_stale()
        del found
        assert not any("(deleted)" in path for path in open_descriptors() if str(root) in path)
        again = bench.find()
        assert os.pread(again.blob.fd, again.size, 0) == content
        assert bench.lookups.cached(URI) is again
        assert bench.catalog.asked == 1
        caches[0].__exit__(None, None, None)
    assert caches[0].counts.fills == 2
