"""Flushing a whole file system, which costs about as much as flushing one file (Linux, syncfs(2))."""

import ctypes
import os
from functools import cache
from pathlib import Path


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
