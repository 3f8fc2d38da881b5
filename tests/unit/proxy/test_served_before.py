"""What workers note on disk of what they served: real files, several workers."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.catalog.found import FoundContent, FoundFile
from distfile_mirror.model.states import State
from distfile_mirror.proxy import served_before
from distfile_mirror.proxy.served_before import ServedBefore

URI = "https://example.org/a"
FILE = FoundFile(URI, State.PRESENT, "", "ab" * 32, 7, {"Content-Type": "text/plain"}, fetched_at=1.5, row_id=3)
MANIFEST = FoundContent("sha256:" + "cd" * 32, "application/json", 2, content=b"{}", image_id=4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "served"


class Worker:
    """Notes of one worker; ``finish`` writes what waits."""

    def __init__(self, path, identity="catalog", max_rows=100):
        self._executor = ThreadPoolExecutor(1)
        self.before = ServedBefore(path, identity=identity, max_rows=max_rows, executor=self._executor)

    def finish(self):
        self._executor.shutdown()
        self.before.close()


def noted(path, *notes, **settings):
    worker = Worker(path, **settings)
    for uri, found in notes:
        worker.before.note(uri, found)
    worker.finish()


@pytest.mark.parametrize("found", [FILE, MANIFEST], ids=["file", "manifest"])
def test_what_one_worker_noted_another_finds(path, found):
    reader = Worker(path)
    noted(path, (URI, found))
    assert reader.before.get(URI) == found
    assert reader.before.get("https://example.org/b") is None
    reader.finish()


def test_what_is_served_no_longer_is_gone(path):
    noted(path, (URI, FILE), (URI, None))
    assert Worker(path).before.get(URI) is None


def test_of_another_catalog_nothing_is_kept(path):
    noted(path, (URI, FILE))
    assert Worker(path).before.get(URI) == FILE
    assert Worker(path, identity="another").before.get(URI) is None
    assert Worker(path).before.get(URI) is None


def test_the_latest_are_kept(path, monkeypatch):
    monkeypatch.setattr(served_before, "ROWS_A_PRUNING", 10)
    noted(path, *((f"{URI}{number}", FILE) for number in range(100)), max_rows=20)
    before = Worker(path).before
    assert [number for number in range(100) if before.get(f"{URI}{number}")] == list(range(80, 100))


def test_what_is_broken_is_begun_anew(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all " * 1000)
    noted(path, (URI, FILE))
    assert Worker(path).before.get(URI) == FILE


@pytest.mark.parametrize("text", ['{"uri": "x", "state": "present", "new": 1}', '{"uri": "x", "state": "new"}', "{"])
def test_what_another_release_wrote_is_not_understood_and_does_no_harm(path, monkeypatch, text):
    monkeypatch.setattr(served_before, "_to_row", lambda _found: (text, None))
    noted(path, (URI, FILE))
    assert Worker(path).before.get(URI) is None


def test_without_a_place_for_it_nothing_is_noted_and_all_goes_on(tmp_path):
    (tmp_path / "run").write_text("a file where a folder should be")
    worker = Worker(tmp_path / "run" / "served")
    worker.before.note(URI, FILE)
    assert worker.before.get(URI) is None
    worker.finish()


def test_what_could_not_be_written_is_written_when_it_can_be(path, monkeypatch):
    monkeypatch.setattr(served_before, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(served_before, "BUSY_SECONDS", 0.05)
    worker = Worker(path)
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    worker.before.note(URI, FILE)
    worker.before.write_soon()
    time.sleep(0.2)
    held.execute("ROLLBACK")
    held.close()
    worker.before.note(f"{URI}2", FILE)
    worker.finish()
    reader = Worker(path)
    assert reader.before.get(URI) == FILE
    assert reader.before.get(f"{URI}2") == FILE
    reader.finish()


def test_what_waits_for_a_disk_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(served_before, "MAX_WAITING", 3)
    monkeypatch.setattr(served_before, "MAX_WAITING_BYTES", 2 * len(MANIFEST.content))
    monkeypatch.setattr(served_before, "AGAIN_SECONDS", 0)
    (tmp_path / "run").write_text("a file where a folder should be")
    worker = Worker(tmp_path / "run" / "served")
    for number in range(5):
        worker.before.note(f"{URI}{number}", MANIFEST)
    for number in range(5, 9):
        worker.before.note(f"{URI}{number}", FILE)
    worker.before.write_soon()  # in vain: they wait on
    time.sleep(0.1)
    worker.before.note(f"{URI}9", MANIFEST)
    worker.before.note(f"{URI}9", FILE)
    (tmp_path / "run").unlink()
    worker.finish()
    reader = Worker(tmp_path / "run" / "served")
    assert [number for number in range(10) if reader.before.get(f"{URI}{number}")] == [0, 1, 5]
    reader.finish()
