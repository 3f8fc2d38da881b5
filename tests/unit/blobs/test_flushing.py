"""Flushing a file while more is written to it."""

import os

import pytest

from distfile_mirror.blobs.flushing import FlushAhead, reserve_room


def test_what_flushing_met_is_told_at_the_end():
    reading, writing = os.pipe()  # neither end of which can be flushed
    try:
        flushing = FlushAhead(writing)
        flushing.begin()
        with pytest.raises(OSError, match="Invalid argument"):
            flushing.finish()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_may_be_closed_while_it_is_flushed(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(1 << 20))
    flushing = FlushAhead(fd)
    flushing.begin()
    os.close(fd)
    flushing.finish()
    FlushAhead(fd).finish()  # nothing was begun


def test_reserving_leaves_the_size(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        is_reserved = reserve_room(file.fileno(), 0, 1 << 20)  # not every file system can
        status = os.fstat(file.fileno())
        assert status.st_size == 0
        assert (status.st_blocks * 512 >= 1 << 20) == is_reserved


def test_what_cannot_be_reserved_is_told(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        assert not reserve_room(file.fileno(), 0, 0)
