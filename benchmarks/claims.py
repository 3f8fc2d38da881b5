"""Claims: downloaders take rows from the queue, few and many of them waiting; no row may go to two."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fixtures import Site
from benchmarks.machine import COMMAND_SECONDS, FailedToRunError, clean_environment, on_any_core
from benchmarks.rows import Group, Measure, Row, Target, measured
from tests.postgresql_server import PostgresqlServer

CLAIMED = 10_000
FEW = 10_000
MANY = 1_000_000
PROCESSES = (1, 2, 4)
FILL_ROWS = 200_000
# Of the length of the queue, and of the size of the catalog beside it, whose index of all URIs grows.
LENGTH_LIMIT, SIZE_LIMIT = Target(1.2), Target(1.5)
METHOD = (
    f"Wall time for {CLAIMED:,} rows, from the first process' begin to the last one's end, by row. Each process claims "
    "its share as a downloader does, up to 128 rows in one transaction, those due longest first; they begin at the "
    f"same moment and may use every core. The peer is a catalog of as many files of which {FEW:,} are pending and the "
    f"others present; in the last row of each database it is a catalog of {FEW:,} files, all pending. After each "
    "run all keys that were claimed are compared: one that was given to two ends the benchmark, and so does a row that "
    "the catalog has as claimed and nobody has. Then they are made due again, and PostgreSQL's table is vacuumed. "
    "PostgreSQL runs without fsync, so that a flush, which costs the same however many rows there are, hides nothing; "
    "SQLite flushes at every commit."
)


@dataclass(frozen=True, slots=True)
class Queues:
    """The URLs of three catalogs: ``long`` and ``short`` queues of MANY files, and one of FEW files, ``small``."""

    long: str
    short: str
    small: str


def claims(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure both databases."""
    rows = []
    with _databases(site) as databases:
        for name, queues in databases.items():
            for measure in _measures(name, queues):
                rows.append(measured(measure))
                tell(rows[-1])
    return Group(f"Claims, {MANY:,} files pending", f"{FEW:,} pending", METHOD, tuple(rows))


def _measures(name: str, queues: Queues) -> Iterator[Measure]:
    for processes in PROCESSES:
        title = f"{name}, {processes} process{'es' if processes > 1 else ''}"
        yield Measure(title, "µs", 1e6, _once(queues.long, queues.short, processes), LENGTH_LIMIT)
    yield Measure(
        f"{name}, 1 process, peer with {FEW:,} files", "µs", 1e6, _once(queues.long, queues.small, 1), SIZE_LIMIT
    )


@contextmanager
def _databases(site: Site) -> Iterator[dict[str, Queues]]:
    with PostgresqlServer() as server:
        yield {"PostgreSQL": _queues_of_postgresql(server), "SQLite": _queues_of_sqlite(site.work)}


def _queues_of_postgresql(server: PostgresqlServer) -> Queues:
    long, small = server.create_database("long"), server.create_database("small")
    _fill(long, MANY)
    _fill(small, FEW)
    server.sql("CREATE DATABASE short TEMPLATE long")
    short = server.url("short")
    _run(short, "settle", str(FEW))
    return Queues(long, short, small)


def _queues_of_sqlite(folder: Path) -> Queues:
    paths = [folder / f"{name}.sqlite3" for name in ("long", "short", "small")]
    found = Queues(*(f"sqlite:///{path}" for path in paths))
    _fill(found.long, MANY)
    _fill(found.small, FEW)
    shutil.copyfile(paths[0], paths[1])
    _run(found.short, "settle", str(FEW))
    return found


def _fill(url: str, pending: int) -> None:
    for begin in range(0, pending, FILL_ROWS):
        _run(url, "fill", str(begin), str(min(pending, begin + FILL_ROWS)))


def _once(ours: str, peer: str, processes: int) -> Callable[[], tuple[float, float]]:
    return lambda: (_seconds_a_row(ours, processes), _seconds_a_row(peer, processes))


def _seconds_a_row(url: str, processes: int) -> float:
    """Claim with so many processes at a time, and undo it; return wall seconds for a row. Raises FailedToRunError."""
    with ExitStack() as stack:
        share = CLAIMED // processes
        running = [stack.enter_context(_claiming(url, f"downloader-{number}", share)) for number in range(processes)]
        for process in running:
            _expect_ready(process)
        for process in running:
            _write_line(process)
        told = [_told(process) for process in running]
    claimed = [row_id for each in told for row_id in each["claimed"]]
    if len(set(claimed)) != len(claimed):
        raise FailedToRunError(f"{len(claimed) - len(set(claimed))} rows were claimed twice")
    if (in_catalog := int(_run(url, "reset"))) != len(claimed):
        raise FailedToRunError(f"{len(claimed)} rows were claimed, and the catalog says {in_catalog}")
    return (max(each["end"] for each in told) - min(each["begin"] for each in told)) / len(claimed)


@contextmanager
def _claiming(url: str, owner: str, rows: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.claim_rows", url, "claim", owner, str(rows)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _expect_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        raise FailedToRunError("a process that claims rows has not begun")


def _write_line(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def _told(process: "subprocess.Popen[str]") -> dict[str, list[int]]:
    output, _ = process.communicate(timeout=COMMAND_SECONDS)
    if process.returncode:
        raise FailedToRunError(f"a process that claims rows ended with {process.returncode}")
    return json.loads(output)


def _run(url: str, *arguments: str) -> str:
    return on_any_core([sys.executable, "-m", "benchmarks.claim_rows", url, *arguments])
