"""Files of blobs on their way: locked by the process that writes them, so that what a dead one left is told apart.

A process holds a lock (flock) on each file that it is writing. What nobody holds is abandoned, and
may be removed by anybody who uses the folder, without asking who it was.
"""

import errno
import fcntl
import itertools
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from distfile_mirror.errors import StorageError, StorageFullError

READ_ONLY = 0o444
_WHOLE = re.compile(r"([0-9a-f]{64})-")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _new_names() -> Callable[[], str]:
    """Return what gives names to files being written: no other process has this one's, and no other file its number."""
    process, numbers = secrets.token_hex(8), itertools.count()
    return lambda: f"{process}-{next(numbers)}"


_names = _new_names()


def _begin_anew() -> None:
    global _names  # noqa: PLW0603 - a fork is another process
    _names = _new_names()


os.register_at_fork(after_in_child=_begin_anew)


class SpoolFile:
    """A new file in ``folder`` that this process writes and holds the lock of. Raises StorageError, StorageFullError.

    Unless ``keep`` is called it is gone when it is closed. ``path`` is a text: a Path takes as long to make as a file.
    """

    def __init__(self, folder: Path) -> None:
        with storage_errors(folder):
            self.path, self.fd = _create_locked(folder)
        self._is_kept = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``. Raises StorageError, StorageFullError."""
        with storage_errors(self.path):
            view = memoryview(data)
            while view:
                view = view[os.write(self.fd, view) :]

    def restart(self) -> None:
        """Throw away what was written. Raises StorageError."""
        with storage_errors(self.path):
            os.ftruncate(self.fd, 0)
            os.lseek(self.fd, 0, os.SEEK_SET)

    def is_whole(self, sha256: str) -> None:
        """Note in the file's name that all its bytes are there, and have this digest. Raises StorageError."""
        folder, _, name = self.path.rpartition("/")
        if name.startswith(sha256):
            return
        path = f"{folder}/{sha256}-{name}"
        with storage_errors(self.path):
            os.rename(self.path, path)
        self.path = path

    def keep(self) -> None:
        """Take note that the file got its place, so that closing it leaves it there."""
        self._is_kept = True

    def close(self) -> None:
        """Give the file up; closing twice does nothing. Never raises."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            if not self._is_kept:
                with suppress(OSError):
                    os.unlink(self.path)
            os.close(fd)


@contextmanager
def storage_errors(where: Path | str) -> Iterator[None]:
    """Turn an OSError into a StorageError or StorageFullError that names ``where``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = f"the blob store is full ({error.strerror}, at {where}): free some space or enlarge it"
            raise StorageFullError(message) from error
        raise StorageError(f"the blob store failed at {where}: {error.strerror or error}") from error


def remove_abandoned(
    folder: Path, finish: Callable[[str, str], object] | None = None, *, patiently: bool = False
) -> int:
    """Remove the files in ``folder`` that no living process writes; return how many. Raises StorageError.

    Before that, ``finish`` is given the path and the digest of each that was noted as whole; what it raises is raised.
    ``patiently``: wait until others are done with such.
    """
    with storage_errors(folder):
        # What can fail comes last.
        paths = sorted((entry.path for entry in os.scandir(folder)), key=_is_whole)
    return sum(_remove_if_abandoned(path, finish, patiently=patiently) for path in paths)


def make_folder(folder: Path) -> None:
    """Create ``folder`` if need be, so that it survives a power cut. Raises OSError."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    fsync_folder(folder.parent)


def fsync_folder(folder: Path) -> None:
    """Return when the names in ``folder`` are on the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _create_locked(folder: Path) -> tuple[str, int]:
    while True:
        path = f"{folder}/{_names()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READ_ONLY)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if stat.S_IMODE(status.st_mode) != READ_ONLY:  # the umask; the proxy may be another user
            os.fchmod(fd, READ_ONLY)
        # Between the two calls a cleaner may have taken it for abandoned.
        if status.st_nlink:
            return path, fd
        os.close(fd)


def _is_whole(path: str) -> bool:
    return _WHOLE.match(os.path.basename(path)) is not None


def _remove_if_abandoned(path: str, finish: Callable[[str, str], object] | None, *, patiently: bool) -> bool:
    whole = _WHOLE.match(os.path.basename(path))
    with storage_errors(path), ExitStack() as stack:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if whole and patiently else fcntl.LOCK_NB))
            if finish is not None and whole and os.fstat(fd).st_nlink:
                finish(path, whole[1])
            os.unlink(path)
        except (BlockingIOError, FileNotFoundError):
            return False
        return True
