"""What the standard library lacks of flushing: a whole file system at once, and a beginning before the end.

Flushing a file system costs about as much as flushing one file (Linux, syncfs(2)). Writing back what
is written while more comes leaves little for the fsync at the end (sync_file_range(2)).
"""

import ctypes
import os
from functools import cache
from pathlib import Path

SYNC_FILE_RANGE_WRITE = 2


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


def begin_write_back(fd: int) -> None:
    """Let the kernel write to the disk what was written to ``fd`` so far, without waiting for it.

    It promises nothing: what is to survive a power cut needs fsync all the same. Where the system
    cannot, nothing happens.
    """
    if hasattr(_libc(), "sync_file_range"):
        _libc().sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE)
