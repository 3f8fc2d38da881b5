"""Who holds a lease, and whether it still lives.

Every downloader holds a lock (flock) on a file of its own name for as long as its process lives.
So after a kill, whoever comes up next on this machine sees at once whose rows are free, and need
not wait for the leases to end. In the same file are the owner's notes (``unrecorded``). Each kind
of downloader has a folder of its own, since it releases rows of its own kind only.
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

FILE_DOWNLOADERS = "downloaders"
IMAGE_DOWNLOADERS = "image-downloaders"


class Owner:
    """This process as an owner of leases, as a context: ``name`` is unique for ever. Raises OSError.

    ``folder``: where all owners of this kind hold their locks. ``fd``: the locked file, open for appending notes.
    """

    def __init__(self, folder: Path) -> None:
        host = socket.gethostname().replace("/", "_")
        self.name = f"{host}:{os.getpid()}:{secrets.token_hex(4)}"
        self.fd = -1
        self._path = folder / self.name

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            # Between the two calls another may have taken it for a dead one's.
            if os.fstat(self.fd).st_nlink:
                return self
            os.close(self.fd)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays if rows may be left under this name, or notes: the next one then takes them over.
        if error is None and not os.fstat(self.fd).st_size:
            self._path.unlink(missing_ok=True)
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class DeadOwner:
    """An owner that lives no more; whoever has it holds its lock. ``fd``: its file, with its notes."""

    path: Path
    fd: int

    @property
    def name(self) -> str:
        """The name under which it has rows."""
        return self.path.name

    def bury(self) -> None:
        """Remove its file: nothing is left under its name."""
        self.path.unlink(missing_ok=True)


def dead_owners(folder: Path) -> Generator[DeadOwner]:
    """Yield each owner in ``folder`` that lives no more, until the next is asked for.

    Raises:
        OSError: if ``folder`` cannot be read.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:  # else another has buried it just now
                yield DeadOwner(path, fd)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
