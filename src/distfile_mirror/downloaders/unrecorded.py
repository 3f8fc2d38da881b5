"""What was fetched and is not in the catalog yet, noted on disk: who is killed by then need not fetch it again.

The notes are in the file that the owner holds its lock on (``owners``), an outcome a line, as JSON. They are not
flushed: they outlive the process, not a power cut, after which the rows are fetched again. To record an outcome twice
does no harm, since a row that is recorded is its owner's no more.
"""

import base64
import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

import structlog

# Notes of what is recorded by now may stay for so long; then what is left is written anew.
LARGEST_BYTES = 4 << 20

log = structlog.get_logger()


class Fetched(Protocol):
    """What was fetched of a row."""

    @property
    def row_id(self) -> int:
        """Its key in the catalog."""


class Unrecorded:
    """The notes of a living owner, in its file ``fd``, which is open for appending. Any thread may call.

    Where the disk takes no more, it is logged, and nothing is noted until all is recorded.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._waiting: dict[int, Fetched] = {}
        self._size = 0
        self._enough_bytes = LARGEST_BYTES
        self._has_failed = False

    def add(self, fetched: Fetched) -> None:
        """Note ``fetched``, a dataclass of texts, numbers, bytes, and of such dataclasses; again, it does nothing."""
        with self._lock:
            if self._waiting.get(fetched.row_id) == fetched:
                return
            self._waiting[fetched.row_id] = fetched
            if not self._has_failed:
                self._append(_line(fetched))

    @property
    def is_complete(self) -> bool:
        """Tell whether all that was added is noted."""
        return not self._has_failed

    def forget(self, row_ids: Iterable[int]) -> None:
        """Forget what is recorded, or was not to be."""
        with self._lock:
            for row_id in row_ids:
                self._waiting.pop(row_id, None)
            if ((self._size or self._has_failed) and not self._waiting) or self._size > self._enough_bytes:
                self._write_anew()

    def _write_anew(self) -> None:
        self._cut(0)
        self._has_failed = False
        if self._waiting:
            self._append(b"".join(map(_line, self._waiting.values())))
        self._enough_bytes = 2 * self._size + LARGEST_BYTES

    def _append(self, lines: bytes) -> None:
        try:
            written = os.write(self._fd, lines)
        except OSError as error:
            written, reason = 0, error.strerror
        else:
            reason = "No space left on device"
        if written == len(lines):
            self._size += written
            return
        self._cut(self._size)
        self._has_failed = True
        log.warning("what is fetched cannot be noted before it is recorded", reason=reason)

    def _cut(self, size: int) -> None:
        with suppress(OSError):  # a disk so broken keeps notes of what is recorded, which do no harm
            os.ftruncate(self._fd, size)
        self._size = size


def read_notes(fd: int) -> list[dict[str, Any]]:
    """Return what a dead owner noted, each as the fields of its dataclass; what it did not write whole is left out.

    Bytes are still in base64.
    """
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return [note for line in file if (note := _parsed(line)) is not None]


def _line(fetched: Fetched) -> bytes:
    return json.dumps(_fields(fetched), default=_plain).encode() + b"\n"


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__} cannot be noted")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        note = json.loads(line)
    except ValueError:
        return None
    return note if isinstance(note, dict) else None
