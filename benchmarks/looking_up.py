"""Cold look-ups: files that a worker was never asked for, with a large catalog against a small one."""

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.fixtures import FEW_FILES, MANY_FILES, Site, mirror
from benchmarks.invented import invented_file
from benchmarks.machine import CLIENT_CORE, cpu_of, on_core
from benchmarks.rows import ROUNDS, Group, Row, Target

WARM_UP = 100
LOOKUPS = FEW_FILES - WARM_UP
LIMIT = Target(2.0)
METHOD = (
    f"Each round starts a fresh worker, asks for {WARM_UP} files so that it has its database connections, and then for "
    f"{LOOKUPS} others, each once, in random order over the whole catalog and over one plain connection. Every one of "
    "them is a query and an opened blob; the database file is in the page cache. CPU is the worker's, latency the "
    "client's, from the request to the end of its 1 KiB."
)


def looking_up(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure both catalogs in turn."""
    few, many = site.data(FEW_FILES), site.data(MANY_FILES)
    pairs = [(_cold(many, MANY_FILES, turn), _cold(few, FEW_FILES, turn)) for turn in range(ROUNDS + 1)][
        1:
    ]  # the first is a warm-up
    rows = tuple(
        Row(name, "µs", tuple(large[at] for large, _ in pairs), tuple(small[at] for _, small in pairs), LIMIT)
        for at, name in enumerate(("CPU of a cold look-up", "latency of a cold look-up, median"))
    )
    for row in rows:
        tell(row)
    return Group(f"Cold look-ups, {MANY_FILES:,} files in the catalog", f"{FEW_FILES:,} files", METHOD, rows)


def _cold(data: Path, files: int, turn: int) -> tuple[float, float]:
    """Return CPU and median latency of a look-up, in microseconds."""
    numbers = random.Random(turn).sample(range(files), WARM_UP + LOOKUPS)
    uris = [invented_file(number).uri for number in numbers]
    latencies: list[float] = []
    with mirror(data) as ours:
        _ask(ours.port, uris[:WARM_UP])
        cpu = cpu_of(ours.pid, lambda: latencies.append(_ask(ours.port, uris[WARM_UP:])))
    return cpu / LOOKUPS * 1e6, latencies[0] * 1e6


def _ask(port: int, uris: Sequence[str]) -> float:
    return float(on_core(CLIENT_CORE, [sys.executable, "-m", "benchmarks.ask", str(port)], given="\n".join(uris)))
