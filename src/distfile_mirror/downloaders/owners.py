"""Who holds a lease, and whether it still lives.

Every downloader holds a lock (flock) on a file of its own name for as long as its process lives.
So after a kill, whoever comes up next on this machine sees at once whose rows are free, and need
not wait for the leases to end. Each kind of downloader has a folder of its own, since it releases
rows of its own kind only.
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

FILE_DOWNLOADERS = "downloaders"
IMAGE_DOWNLOADERS = "image-downloaders"


class Owner:
    """This process as an owner of leases, as a context: ``name`` is unique for ever. Raises OSError.

    ``folder``: where all owners of this kind hold their locks.
    """

    def __init__(self, folder: Path) -> None:
        host = socket.gethostname().replace("/", "_")
        self.name = f"{host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._path = folder / self.name

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            # Between the two calls another may have taken it for a dead one's.
            if os.fstat(self._fd).st_nlink:
                return self
            os.close(self._fd)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays if rows may be left under this name: the next one then releases them.
        if error is None:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def release_dead_owners(folder: Path, release: Callable[[str], int]) -> int:
    """Call ``release`` (the queue's release_owner) for each owner here that lives no more; return the rows freed.

    Raises:
        OSError: if ``folder`` cannot be read; and what ``release`` raises.
    """
    if not folder.is_dir():
        return 0
    return sum(_release_if_dead(path, release) for path in sorted(folder.iterdir()))


def _release_if_dead(path: Path, release: Callable[[str], int]) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        released = release(path.name)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return 0
    else:
        return released
    finally:
        os.close(fd)
