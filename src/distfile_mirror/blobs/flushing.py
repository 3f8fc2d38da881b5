"""What the standard library lacks for writing much: flushing a file system, or while more comes; reserving room.

Flushing a file system costs about as much as flushing one file (Linux, syncfs(2)).
"""

import ctypes
import os
import threading
from functools import cache
from pathlib import Path

_KEEP_SIZE = 1


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def can_flush_file_system() -> bool:
    """Tell whether this system can."""
    return hasattr(_libc(), "syncfs")


def flush_file_system(folder: Path) -> None:
    """Return when all that was written to the file system of ``folder`` is on its disk.

    Raises:
        OSError: also for a fault in writing back what somebody else wrote (Linux 5.8 and later):
            then nobody can tell, and it counts as not stored.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(fd)


def reserve_room(fd: int, begin: int, size: int) -> bool:
    """Reserve ``size`` bytes of the disk for ``fd`` from ``begin`` on, and tell whether that went well.

    The file's size stays; writing there costs the file system less (fallocate(2), FALLOC_FL_KEEP_SIZE). Not
    os.posix_fallocate: where the file system cannot, it writes into each block.
    """
    if not hasattr(_libc(), "fallocate"):
        return False
    return bool(_libc().fallocate(fd, _KEEP_SIZE, ctypes.c_int64(begin), ctypes.c_int64(size)) == 0)


class FlushAhead:
    """Flushes the file ``fd`` in a thread while more is written to it, so that the fsync at the end has little left.

    Telling the kernel to begin (sync_file_range(2)) is not enough: it leaves the bytes in the disk's own cache, and
    flushing that took up to a second for a GiB of which the kernel had nothing left to write.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None

    def begin(self) -> None:
        """Flush what was written so far, without waiting for it; while that goes on, another call does nothing.

        Raises:
            OSError: if there are too many open files.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        fd = os.dup(self._fd)  # whoever gives the file up need not wait
        thread = threading.Thread(target=self._flush, args=(fd,), name="flush")
        try:
            thread.start()
        except RuntimeError:  # there are too many threads: all is left for the end
            os.close(fd)
        else:
            self._thread = thread

    def finish(self) -> None:
        """Wait for what was begun. To be called before the last fsync.

        Raises:
            OSError: what flushing met: the kernel tells of a fault once, and fsync would know nothing of it.
        """
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _flush(self, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            self._failure = error
        finally:
            os.close(fd)
