"""Moves an installation: all blobs, then the whole catalog, into another database and another store.

Blobs go first, so that what the target's catalog says is there is there. Whatever an earlier run brought is not brought
again. Meanwhile nobody else can write to the source.
"""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from django.db import connections

from distfile_mirror.blobs.copying import Copied, Outcome, copy_blob
from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.catalog import copying, damage
from distfile_mirror.catalog.damage import KnownBlob
from distfile_mirror.catalog.database_urls import database_settings, is_sqlite
from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.errors import UnavailableError
from distfile_mirror.wiring.storage import open_blob_store

THREADS = 4
BLOBS_AT_ONCE = 500
LOCK_SECONDS = 5.0


@dataclass(slots=True)
class Transferred:
    """How far it is. ``rows`` and ``all_rows`` of the catalog; ``problems``: blobs that are damaged, and how.

    ``all_blobs`` and ``all_rows``: those of the source, known from the beginning.
    """

    all_blobs: int = 0
    copied_blobs: int = 0
    blobs_there: int = 0
    copied_bytes: int = 0
    rows: int = 0
    all_rows: int = 0
    problems: dict[str, str] = field(default_factory=dict)


Progress = Callable[[Transferred], object]


def run(source: Config, target: Config, progress: Progress) -> Transferred:
    """Transfer; Django must be set up with all tables of the source. Killed, it can be run again.

    Raises:
        MirrorError: saying what is in the way.
    """
    if source.effective_database_url == target.effective_database_url or source.blobs_location == target.blobs_location:
        raise ConfigurationError("the target must have another database and another place for blobs than the source")
    connections.databases[copying.TARGET] = {
        **connections.databases["default"],  # what Django adds to what was configured
        **database_settings(target.effective_database_url),
    }
    state = Transferred()
    with _frozen(source):
        copying.prepare_target()
        state.all_blobs = damage.count_blobs().blobs
        state.all_rows = sum(map(copying.count_rows, copying.tables()))
        progress(state)
        _copy_blobs(source, target, state, progress)
        _copy_catalog(state, progress)
    return state


def _copy_blobs(source: Config, target: Config, state: Transferred, progress: Progress) -> None:
    copy = partial(_copy, open_blob_store(source), open_blob_store(target))
    with ThreadPoolExecutor(THREADS, "blobs") as pool:
        for blobs in _all_blobs():
            for blob, outcome in zip(blobs, pool.map(copy, blobs), strict=True):
                _count(state, blob, outcome)
                progress(state)


def _copy(source: BlobStore, target: BlobStore, blob: KnownBlob) -> Outcome:
    return copy_blob(source, target, blob.sha256, blob.size)


def _all_blobs() -> Iterator[list[KnownBlob]]:
    after = ""
    while blobs := damage.next_blobs(after, BLOBS_AT_ONCE):
        yield blobs
        after = blobs[-1].sha256


def _count(state: Transferred, blob: KnownBlob, outcome: Outcome) -> None:
    match outcome.copied:
        case Copied.COPIED:
            state.copied_blobs += 1
            state.copied_bytes += outcome.size
        case Copied.THERE:
            state.blobs_there += 1
        case Copied.DAMAGED:
            state.problems[blob.sha256] = outcome.problem


def _copy_catalog(state: Transferred, progress: Progress) -> None:
    tables = copying.tables()
    for count in chain.from_iterable(map(copying.copy_table, tables)):
        state.rows += count
        progress(state)
    copying.finish_target(tables)


@contextmanager
def _frozen(source: Config) -> Iterator[None]:
    """Keep everybody else from writing to a SQLite database; a server's is up to who stops the components."""
    if not is_sqlite(source.effective_database_url):
        yield
        return
    name = connections.databases["default"]["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None, timeout=LOCK_SECONDS)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"{name} is in use ({error}): stop `distfile-mirror serve` first") from None
        yield
        connection.execute("ROLLBACK")
