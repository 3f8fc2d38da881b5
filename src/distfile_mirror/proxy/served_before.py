"""What the workers of this machine have served, on its disk: for a worker that starts while the database is away.

A look-up that found something is noted here by whichever worker made it, and read again by any of them, only
when the catalog does not answer. It is a cache: bounded, without a promise to survive a power cut, and thrown away
where it cannot be read or belongs to another catalog.
"""

import json
import sqlite3
import threading
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import structlog

from distfile_mirror.catalog.found import FoundContent, FoundFile
from distfile_mirror.model.states import State

# More than this waits only while the disk stands still.
MAX_WAITING = 10_000
# Every so many rows the oldest are counted off.
ROWS_A_PRUNING = 1_000
BUSY_SECONDS = 2.0

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
    Writing is done in ``executor``, soon.
    """

    def __init__(self, path: Path, *, identity: str, max_rows: int, executor: Executor) -> None:
        self._path = path
        self._identity = identity
        self._max_rows = max_rows
        self._executor = executor
        self._lock = threading.Lock()
        self._notes_lock = threading.Lock()
        self._notes: list[tuple[str, Served | None]] = []
        self._written = 0
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = _opened(path, identity)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def note(self, uri: str, found: Served | None) -> None:
        """Note that ``found`` is served under ``uri``, or None: no longer."""
        with self._notes_lock:
            if self._connection is None or len(self._notes) >= MAX_WAITING:
                return
            self._notes.append((uri, found))
            is_first = len(self._notes) == 1
        if is_first:
            with suppress(RuntimeError):  # the worker ends, and will write
                self._executor.submit(self._write)

    def get(self, uri: str) -> Served | None:
        """Return what was found under ``uri`` before."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                row = self._connection.execute("SELECT found, content FROM served WHERE uri = ?", (uri,)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return _from_row(*row) if row else None

    def close(self) -> None:
        """Write what waits, and close."""
        self._write()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self) -> None:
        """Write what waits, in one transaction."""
        with self._lock:
            if self._connection is None:
                return
            with self._notes_lock:
                notes, self._notes = self._notes, []
            try:
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    for uri, found in notes:
                        self._write_one(self._connection, uri, found)
            except sqlite3.Error as error:
                self._give_up(error)

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

    def _give_up(self, error: Exception) -> None:
        log.warning(
            "what was served cannot be noted on disk; without the database only this worker's memory serves",
            path=str(self._path),
            reason=str(error),
        )
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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
