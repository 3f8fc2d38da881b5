"""The files of a read-through cache, shared by several processes of one machine.

``sha256/ab/abcd…`` has whole blobs, verified, and read-only; ``filling/abcd…`` has those that are coming in. Whoever
holds the lock (flock) of a file there fills it, by appending, so that its size tells every process how
far it has come. That it becomes read-only says that its digest is right; that it is unlinked while it
can be written, that nobody will ever have it whole. A filler that dies loses the lock, and whoever finds that goes on.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from distfile_mirror.blobs.spool import READ_ONLY
from distfile_mirror.blobs.store import blob_key
from distfile_mirror.errors import StorageError

WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class CacheError(StorageError):
    """The folder of the cache failed; the store behind it may be well."""


@dataclass(frozen=True, slots=True)
class FillingState:
    """What a file that is or was being filled tells. ``bytes``: its length."""

    bytes: int
    is_verified: bool
    is_given_up: bool


class CacheFolder:
    """The folder ``root``. Methods raise OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Create the folders."""
        for name in ("sha256", "filling"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def open_whole(self, sha256: str) -> int | None:
        """Return a descriptor of a whole blob, or None if it is not there. Its use is noted."""
        try:
            fd = os.open(self.root / blob_key(sha256), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        os.utime(fd)
        return fd

    def open_filling(self, sha256: str) -> int:
        """Return a descriptor of a blob that is being filled, which it may be from now on."""
        path = self._filling(sha256)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError:  # it has just been verified
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def keep(self, sha256: str, fd: int) -> None:
        """Put what ``fd`` has filled, and verified, into its place; a power cut leaves it whole or not at all."""
        os.fsync(fd)
        os.fchmod(fd, READ_ONLY)
        os.utime(fd)
        self.place(sha256)

    def place(self, sha256: str) -> None:
        """Give a blob that is verified, and whose lock the caller has, its name."""
        final = self.root / blob_key(sha256)
        try:
            self._filling(sha256).rename(final)
        except FileNotFoundError:
            final.parent.mkdir(exist_ok=True)
            self._filling(sha256).rename(final)

    def place_if_left(self, sha256: str, fd: int) -> None:
        """Place what ``fd`` has, locked and verified, if its filler died before it did so."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self._filling(sha256).stat(), os.fstat(fd)):
                self.place(sha256)

    def pass_on(self, sha256: str, fd: int) -> None:
        """Let those who read along finish what ``fd`` has filled and verified, and keep it no longer."""
        os.fchmod(fd, READ_ONLY)
        self._filling(sha256).unlink()

    def give_up(self, sha256: str) -> None:
        """Forget what was filled, and tell so to all who read along."""
        self._filling(sha256).unlink(missing_ok=True)

    def _filling(self, sha256: str) -> Path:
        blob_key(sha256)  # refuses what is no digest
        return self.root / "filling" / sha256


def try_lock(fd: int) -> bool:
    """Take the lock of a file, unless somebody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def state_of(fd: int) -> FillingState:
    """Return how far the file of ``fd`` is."""
    status = os.fstat(fd)
    is_verified = not status.st_mode & WRITABLE
    return FillingState(status.st_size, is_verified, not is_verified and status.st_nlink == 0)


def reopen(fd: int) -> int:
    """Return a descriptor of the same file for reading, which has no part in the lock of ``fd``."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def cache_errors(root: Path) -> Iterator[None]:
    """Turn an OSError into a CacheError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CacheError(f"the cache in {root} failed: {reason}; see to its disk, or lower cache_bytes") from error
