"""What the workers of this machine have served, on its disk: for a worker that starts while the database is away.

A look-up that found something is noted here by whichever worker made it, and read again by any of them, only
when the catalog does not answer. It is a cache: bounded, without a promise to survive a power cut, and thrown away
where it cannot be read or belongs to another catalog.
"""

import json
import math
import sqlite3
import threading
import time
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import structlog

from distfile_mirror.catalog.found import FoundContent, FoundFile
from distfile_mirror.model.states import State

# More than this waits only while the disk stands still.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 << 20  # of manifests
# Every so many rows the oldest are counted off.
ROWS_A_PRUNING = 1_000
BUSY_SECONDS = 2.0
# A disk that failed is left alone for so long.
AGAIN_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE catalog (identity TEXT NOT NULL);
CREATE TABLE served (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uri TEXT NOT NULL UNIQUE,
    found TEXT NOT NULL,
    content BLOB
);
"""

log = structlog.get_logger()

Served = FoundFile | FoundContent


class ServedBefore:
    """The table, for one worker. All methods may be called from any thread, and raise nothing.

    ``identity`` names the catalog that the answers are from. No more than ``max_rows`` are kept, the latest.
    Writing is done in ``executor``.
    """

    def __init__(self, path: Path, *, identity: str, max_rows: int, executor: Executor) -> None:
        self._path = path
        self._identity = identity
        self._max_rows = max_rows
        self._executor = executor
        self._lock = threading.Lock()
        self._notes_lock = threading.Lock()
        self._notes: list[tuple[str, Served | None]] = []
        self._notes_bytes = 0
        self._will_write = False
        self._written = 0
        self._connection: sqlite3.Connection | None = None
        self._is_broken = False
        self._again_at = 0.0
        self._connect_if_due()

    def note(self, uri: str, found: Served | None) -> None:
        """Note that ``found`` is served under ``uri``, or None: no longer; ``write_soon`` writes it."""
        with self._notes_lock:
            size = self._notes_bytes + _content_bytes(found)
            if len(self._notes) < MAX_WAITING and size <= MAX_WAITING_BYTES:
                self._notes.append((uri, found))
                self._notes_bytes = size

    def write_soon(self) -> None:
        """Have written what waits; to be called now and then, since many notes cost little more than one."""
        with self._notes_lock:
            if not self._notes or self._will_write or time.monotonic() < self._again_at:
                return
            self._will_write = True
        with suppress(RuntimeError):  # the worker ends, and will write
            self._executor.submit(self._write)

    def get(self, uri: str) -> Served | None:
        """Return what was found under ``uri`` before."""
        with self._lock:
            connection = self._connect_if_due()
            if connection is None:
                return None
            try:
                row = connection.execute("SELECT found, content FROM served WHERE uri = ?", (uri,)).fetchone()
            except sqlite3.Error as error:
                self._put_off(error)
                return None
        return _from_row(*row) if row else None

    def close(self) -> None:
        """Write what waits, and close."""
        self._write()
        with self._lock:
            self._disconnect()
            self._again_at = math.inf

    def _write(self) -> None:
        """Write what waits, in one transaction; what cannot be written waits on."""
        with self._lock:
            with self._notes_lock:
                notes, self._notes, self._notes_bytes, self._will_write = self._notes, [], 0, False
            connection = self._connect_if_due()
            try:
                if connection is not None:
                    self._write_all(connection, notes)
                    return
            except sqlite3.Error as error:
                self._put_off(error)
            with self._notes_lock:
                self._notes[:0] = notes
                self._notes_bytes += sum(_content_bytes(found) for _uri, found in notes)

    def _write_all(self, connection: sqlite3.Connection, notes: list[tuple[str, Served | None]]) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for uri, found in notes:
                self._write_one(connection, uri, found)
        if self._is_broken:
            self._is_broken = False
            log.info("what is served is noted on disk again", path=str(self._path))

    def _write_one(self, connection: sqlite3.Connection, uri: str, found: Served | None) -> None:
        if found is None:
            connection.execute("DELETE FROM served WHERE uri = ?", (uri,))
            return
        connection.execute(
            "INSERT OR REPLACE INTO served (uri, found, content) VALUES (?, ?, ?)", (uri, *_to_row(found))
        )
        self._written += 1
        if self._written % ROWS_A_PRUNING == 0:
            connection.execute(
                "DELETE FROM served WHERE number <= (SELECT max(number) FROM served) - ?", (self._max_rows,)
            )

    def _connect_if_due(self) -> sqlite3.Connection | None:
        """Return the connection; where there is none, try to have one now and then."""
        if self._connection is None and time.monotonic() >= self._again_at:
            try:
                self._connection = _opened(self._path, self._identity)
            except (sqlite3.Error, OSError) as error:
                self._put_off(error)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _put_off(self, error: Exception) -> None:
        """Leave the disk alone for a while: another worker may hold it for long, or it is full."""
        if not self._is_broken:
            self._is_broken = True
            log.warning(
                "what was served cannot be noted on disk; without the database only this worker's memory serves",
                path=str(self._path),
                reason=str(error),
            )
        self._disconnect()
        self._again_at = time.monotonic() + AGAIN_SECONDS


def _opened(path: Path, identity: str) -> sqlite3.Connection:
    """Open the table, for this catalog; begin a new one if it is broken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connected(path)
    try:
        _prepare(connection, identity)
    except sqlite3.OperationalError:  # locked, or the disk is full: it is not broken
        connection.close()
        raise
    except sqlite3.DatabaseError:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        connection = _connected(path)
        _prepare(connection, identity)
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, identity: str) -> None:
    """Make the tables where there are none, and empty them if they are of another catalog."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'catalog'").fetchone():
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        if connection.execute("SELECT identity FROM catalog").fetchone() != (identity,):
            connection.execute("DELETE FROM served")
            connection.execute("DELETE FROM catalog")
            connection.execute("INSERT INTO catalog VALUES (?)", (identity,))


def _content_bytes(found: Served | None) -> int:
    return len(found.content or b"") if isinstance(found, FoundContent) else 0


def _to_row(found: Served) -> tuple[str, bytes | None]:
    known = asdict(found)
    content = known.pop("content", None)
    return json.dumps(known), content


def _from_row(text: str, content: bytes | None) -> Served | None:
    """Return what was found; None if another release wrote it, whose terms are not known."""
    try:
        known = json.loads(text)
        if "uri" in known:
            return FoundFile(**{**known, "state": State(known["state"])})
        return FoundContent(**known, content=content)
    except (TypeError, ValueError, KeyError):
        return None
