"""How much a cache folder holds, and what goes when it is too much: what was used longest ago.

All processes that share the folder add to one number in it, under a lock. The number is a hint: who
finds it too high counts anew what is really there, so that a process that dies loses nothing. The
time of a file's last use is its modification time, which nothing else sets.
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

# As much is freed at a time, so that the next fills need not look again.
FREE_FRACTION = 0.05
BLOCK_BYTES = 4096
# A blob that nobody has been filling for so long may go, too.
ABANDONED_SECONDS = 60
_NUMBER = struct.Struct("q")

log = structlog.get_logger()


class _Entry(NamedTuple):
    used_at: float
    bytes: int
    path: str
    being_filled: bool


class CacheSpace:
    """The space of the folder ``root``, of ``limit`` bytes. Methods block, and raise OSError."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit

    @property
    def limit(self) -> int:
        """The most bytes that the cache is to hold."""
        return self._limit

    def recount(self) -> int:
        """Count what is there, and make room if it is too much; return how many blobs went."""
        with self._locked() as fd:
            return self._evict(fd)

    def add(self, count: int) -> int:
        """Take note of ``count`` bytes more, making room if need be; return how many blobs went for it."""
        with self._locked() as fd:
            number = os.pread(fd, _NUMBER.size, 0)
            used = (_NUMBER.unpack(number)[0] if len(number) == _NUMBER.size else 0) + in_blocks(count)
            os.pwrite(fd, _NUMBER.pack(used), 0)
            return self._evict(fd) if used > self._limit else 0

    def make_room(self, count: int) -> int:
        """Make sure that the disk has room for ``count`` bytes more; return how many blobs went for it.

        Raises:
            OSError: ENOSPC if it has not, whatever goes.
        """
        missing = count - self._free()
        if missing <= 0:
            return 0
        with self._locked() as fd:
            gone = self._evict(fd, missing)
        if self._free() < count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return gone

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self._root / "used", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _evict(self, fd: int, missing: int = 0) -> int:
        """Keep to the limit, and to ``missing`` bytes less than there are."""
        entries = sorted(self._entries())
        used = sum(entry.bytes for entry in entries)
        wanted = self._limit if used <= self._limit else int(self._limit * (1 - FREE_FRACTION))
        wanted = min(wanted, used - missing)
        gone = 0
        for entry in entries:
            if used <= wanted:
                break
            if _remove(entry):
                used -= entry.bytes
                gone += 1
        os.pwrite(fd, _NUMBER.pack(used), 0)
        if gone:
            log.info("made room in the cache", blobs=gone, bytes=used, limit=self._limit)
        return gone

    def _entries(self) -> Iterator[_Entry]:
        folders = [(self._root / "filling", True)]
        folders += [(path, False) for path in (self._root / "sha256").iterdir()]
        for folder, being_filled in folders:
            with os.scandir(folder) as found:
                for entry in found:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield _Entry(status.st_mtime, in_blocks(status.st_size), entry.path, being_filled)


def in_blocks(count: int) -> int:
    """Return how many bytes of a disk a file of ``count`` bytes takes."""
    return -(-count // BLOCK_BYTES) * BLOCK_BYTES


def _remove(entry: _Entry) -> bool:
    with suppress(FileNotFoundError):
        if not entry.being_filled:
            os.unlink(entry.path)
            return True
        if time.time() - entry.used_at > ABANDONED_SECONDS:
            return _remove_unless_locked(entry.path)
    return False


def _remove_unless_locked(path: str) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)
