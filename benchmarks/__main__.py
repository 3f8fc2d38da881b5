"""Run the benchmarks: `python -m benchmarks [GROUP…]`; exit status 1 if a target is missed, 2 if they cannot run."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from benchmarks import report
from benchmarks.claims import claims
from benchmarks.downloading import downloading
from benchmarks.facts import facts, use_search_path, what_is_missing
from benchmarks.fixtures import Site, make_site, work_folder
from benchmarks.looking_up import looking_up
from benchmarks.machine import FailedToRunError
from benchmarks.object_storage import object_storage
from benchmarks.pages import pages
from benchmarks.rows import ROUNDS, Group, Row
from benchmarks.serving import serving, serving_many

FOLDER = Path(__file__).parent
LOG_COLUMNS = 110
RESULTS = FOLDER / "results.md"
GROUPS: dict[str, Callable[[Site, Callable[[Row], None]], Group]] = {
    "serving": serving,
    "serving-million": serving_many,
    "object-storage": object_storage,
    "looking-up": looking_up,
    "claims": claims,
    "pages": pages,
    "downloading": downloading,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", metavar="GROUP", nargs="*", help=f"{', '.join(GROUPS)}; all by default")
    names = list(dict.fromkeys(parser.parse_args().groups)) or list(GROUPS)
    if unknown := [name for name in names if name not in GROUPS]:
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_COLUMNS)
    if missing := what_is_missing(FOLDER, names):
        console.print("The benchmarks cannot run:", *missing, sep="\n  ", soft_wrap=True)
        return 2
    use_search_path()
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        groups = _run(names, console)
    except FailedToRunError as error:
        console.print(f"The benchmarks failed: {error}", markup=False, soft_wrap=True)
        return 2
    return _conclude(groups, console, is_whole=len(groups) == len(GROUPS))


def _run(names: list[str], console: Console) -> list[Group]:
    def tell(row: Row) -> None:
        console.print(f"  {row.name}: ratio {row.cells()[3]}", style="dim")

    groups = []
    with work_folder(FOLDER / "scratch") as work:
        console.print("Making files of 1 KiB, 10 KiB and 1 GiB", style="dim")
        site = make_site(work)
        for name in names:
            console.print(f"Measuring {name}", style="dim")
            groups.append(GROUPS[name](site, tell))
            report.show(groups[-1], console)
    return groups


def _conclude(groups: list[Group], console: Console, *, is_whole: bool) -> int:
    if is_whole:
        RESULTS.write_text(report.markdown(groups, facts(), ROUNDS), encoding="utf-8")
        console.print(f"Written to {RESULTS}", soft_wrap=True)
    else:
        console.print(f"Not all groups ran: {RESULTS} is left as it was", soft_wrap=True)
    missed = [f"{group.title}: {row.name}" for group in groups for row in group.rows if not row.is_met]
    if missed:
        console.print("Missed:", *missed, sep="\n  ", style="red", soft_wrap=True)
    return 1 if missed else 0


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(130)


if __name__ == "__main__":
    sys.exit(main())
