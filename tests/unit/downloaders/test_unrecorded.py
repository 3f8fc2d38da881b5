"""Notes of what was fetched and is not recorded yet."""

import os
import resource
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import replace

import pytest

from distfile_mirror.catalog import image_queue, queue
from distfile_mirror.catalog.image_facts import FetchedBlob, FetchedImage, FetchedManifest, Role
from distfile_mirror.downloaders import unrecorded
from distfile_mirror.downloaders.unrecorded import Unrecorded, read_notes

SHA256 = "ab" * 32


@pytest.fixture
def fd(tmp_path):
    opened = os.open(tmp_path / "owner", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield opened
    os.close(opened)


def fetched_file(row_id=1):
    return queue.Fetched(
        row_id, SHA256, 5, {"sha256": SHA256}, {"ETag": '"é\\"'}, "https://x.test/é", {"sha256": "cd" * 32}
    )


def fetched_image():
    blobs = [FetchedBlob(f"sha256:{SHA256}", SHA256, 5, "application/x", "layer")]
    whole = FetchedManifest("sha256:1", "application/x", b"\x00\xff{}", Role.CHILD, "linux/amd64", "a", "s", "t", blobs)
    return FetchedImage(2, "application/y", 9, [whole, replace(whole, content=b"", role=Role.IMAGE, blobs=[])])


def test_what_is_noted_is_what_is_read(fd):
    notes = Unrecorded(fd)
    notes.add(fetched_file())
    notes.add(fetched_image())
    file, image = read_notes(fd)
    assert queue.from_note(file) == fetched_file()
    assert image_queue.from_note(image) == fetched_image()


def test_what_is_recorded_is_forgotten(fd):
    notes = Unrecorded(fd)
    notes.add(fetched_file(1))
    notes.add(fetched_file(2))
    notes.add(fetched_file(2))
    notes.forget([1, 7])
    assert [note["row_id"] for note in read_notes(fd)] == [1, 2]  # to write it anew is not worth it yet
    notes.forget([2])
    assert os.fstat(fd).st_size == 0
    notes.add(fetched_file(3))
    assert [note["row_id"] for note in read_notes(fd)] == [3]


def test_notes_do_not_grow_for_ever(fd, monkeypatch):
    monkeypatch.setattr(unrecorded, "LARGEST_BYTES", 1000)
    notes = Unrecorded(fd)
    rewritten = 0
    for number in range(100):
        before = os.fstat(fd).st_size
        notes.add(fetched_file(number))
        notes.forget([number - 3])
        rewritten += os.fstat(fd).st_size < before
    assert os.fstat(fd).st_size < 6000
    assert 0 < rewritten < 30
    assert read_notes(fd)[-1]["row_id"] == 99


def test_what_was_not_written_whole_is_left_out(fd):
    Unrecorded(fd).add(fetched_file())
    os.write(fd, b'{"row_id": 2, "sha')
    assert [note["row_id"] for note in read_notes(fd)] == [1]
    os.write(fd, b"\n[]\n\xff\n")
    assert [note["row_id"] for note in read_notes(fd)] == [1]


@contextmanager
def files_of_at_most(size):
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_costs_the_notes_alone():
    with tempfile.TemporaryDirectory() as folder:
        fd = os.open(f"{folder}/owner", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        notes = Unrecorded(fd)
        notes.add(fetched_file(1))
        with files_of_at_most(os.fstat(fd).st_size + 10):
            notes.add(fetched_file(2))  # a part of it fits
            assert not notes.is_complete
            notes.add(fetched_file(3))
        assert [note["row_id"] for note in read_notes(fd)] == [1]
        notes.forget([1, 2])
        assert not notes.is_complete
        notes.forget([3])
        assert notes.is_complete
        notes.add(fetched_file(4))
        assert [note["row_id"] for note in read_notes(fd)] == [4]
        os.close(fd)
