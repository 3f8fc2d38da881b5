"""Claims: downloaders take rows from the queue, few and many of them waiting; no row may go to two."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.fixtures import Site
from benchmarks.machine import COMMAND_SECONDS, FailedToRunError, clean_environment, on_any_core
from benchmarks.rows import Group, Measure, Row, Target, measured
from tests.postgresql_server import PostgresqlServer

CLAIMED = 10_000
FEW_PENDING = 10_000
MANY_PENDING = 1_000_000
PROCESSES = (1, 2, 4)
FILL_ROWS = 200_000
LIMIT = Target(1.5)
METHOD = (
    f"Wall time for {CLAIMED:,} rows, from the first process' begin to the last one's end, by row. Each process claims "
    "its share as a downloader does, up to 128 rows in one transaction, those due longest first; they begin at the "
    "same moment and may use every core. The peer is the same with as many rows pending as are claimed. After each "
    "run all keys that were claimed are compared: one that was given to two ends the benchmark, and so does a row that "
    "the catalog has as claimed and nobody has. Then they are made due again, and PostgreSQL's table is vacuumed. "
    "PostgreSQL runs without fsync, so that a flush, which costs the same however many rows there are, hides nothing; "
    "SQLite flushes at every commit."
)


def claims(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure both databases."""
    rows = []
    with _databases(site) as databases:
        for name, (few, many) in databases.items():
            for processes in PROCESSES:
                title = f"{name}, {processes} process{'es' if processes > 1 else ''}"
                rows.append(measured(Measure(title, "µs", 1e6, _once(few, many, processes), LIMIT)))
                tell(rows[-1])
    title = f"Claims, {MANY_PENDING:,} rows pending"
    return Group(title, f"{FEW_PENDING:,} pending", METHOD, tuple(rows))


@contextmanager
def _databases(site: Site) -> Iterator[dict[str, tuple[str, str]]]:
    """Give name -> URLs of a short queue and of a long one."""
    with PostgresqlServer() as server:
        found = {
            "PostgreSQL": (server.create_database("few"), server.create_database("many")),
            "SQLite": (f"sqlite:///{site.work}/few.sqlite3", f"sqlite:///{site.work}/many.sqlite3"),
        }
        for urls in found.values():
            for url, pending in zip(urls, (FEW_PENDING, MANY_PENDING), strict=True):
                for begin in range(0, pending, FILL_ROWS):
                    _run(url, "fill", str(begin), str(min(pending, begin + FILL_ROWS)))
        yield found


def _once(few: str, many: str, processes: int) -> Callable[[], tuple[float, float]]:
    return lambda: (_seconds_a_row(many, processes), _seconds_a_row(few, processes))


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
