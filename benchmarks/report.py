"""How results look: tables on a terminal, and a page in Markdown to be kept."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Group, Row, readable

INTRODUCTION = """\
# Benchmark results

Written by `make bench`; do not edit.

All figures are medians of {rounds} rounds, after one that is not counted; within each round ours and
the peer take turns, so that whatever else the machine does meets both. Everything runs on one
machine over loopback, servers pinned to one core and clients to another, files in the page cache
of a local disk. *Ratio* is what counts: ours to the peer's, so that less is better; where the row says
*speed*, it is the peer's time to ours, and more is better. Absolute figures are this machine's
only; ratios should hold on others within some tenths.
"""


def show(group: Group, console: Console) -> None:
    """Print the table of a group."""
    table = Table(title=group.title, title_justify="left", title_style="bold")
    table.add_column("row", no_wrap=True)
    for heading in _headings(group)[1:]:
        table.add_column(heading, justify="right")
    for row in group.rows:
        table.add_row(*row.cells(), style=None if row.is_met else "red")
    console.print(table)


def markdown(groups: Sequence[Group], facts: Mapping[str, str], rounds: int) -> str:
    """Return the whole page."""
    parts = [INTRODUCTION.format(rounds=rounds), _table(("machine", ""), facts.items())]
    for group in groups:
        parts += [f"## {group.title}", _table(_headings(group), [row.cells() for row in group.rows]), group.method]
        parts += [_rounds(group.rows, group.peer)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _headings(group: Group) -> tuple[str, ...]:
    return ("row", "ours", group.peer, "ratio", "target", "ok")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rounds(rows: Sequence[Row], peer: str) -> str:
    lines = ["<details><summary>Every round</summary>", ""]
    for row in rows:
        lines.append(f"- {row.name} ({row.unit}): ours {_listed(row.ours)}")
        if row.peer:
            lines[-1] += f"; {peer} {_listed(row.peer)}"
    return "\n".join([*lines, "", "</details>"])


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(readable, values))
