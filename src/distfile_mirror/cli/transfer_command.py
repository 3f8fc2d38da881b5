"""`distfile-mirror transfer`: from one machine with SQLite and a folder to a database server and an object store."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from distfile_mirror.cli.server_commands import BlobsUrl, ConfigFile, DatabaseUrl, DataDir, configured

if TYPE_CHECKING:
    from collections.abc import Callable

    from distfile_mirror.wiring.transfer import Transferred


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(transfer)


def transfer(
    to_database_url: Annotated[str, typer.Option("--to-database-url", metavar="URL", help="Where the catalog goes.")],
    to_blobs_url: Annotated[str, typer.Option("--to-blobs-url", metavar="URL", help="Where the blobs go.")],
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blobs_url: BlobsUrl = None,
) -> None:
    """Copy all blobs, each verified on its way, and the whole catalog into another database and store.

    Stop `serve` first. The source is only read. Interrupted, it goes on from there when it is run again.
    """
    from distfile_mirror.wiring import processes

    source = configured(config_file, data_dir=data_dir, database_url=database_url, blobs_url=blobs_url)
    target = configured(config_file, data_dir=data_dir, database_url=to_database_url, blobs_url=to_blobs_url)
    if sys.stderr.isatty():
        state = _with_bars(lambda show: processes.transfer(source, target, show))
    else:
        state = processes.transfer(source, target, lambda _state: None)
    _tell(state)
    if state.problems:
        raise typer.Exit(1)
    typer.echo(f"The CA and the key of cookies stay in {source.data_dir}: take ca/ and secret-key along.", err=True)


def _with_bars(run: "Callable[[Callable[[Transferred], None]], Transferred]") -> "Transferred":
    """Show on the terminal how far ``run`` is; nothing of it stays there."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[more]}"))
    bars = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    blobs = bars.add_task("blobs", total=None, more="")
    rows = bars.add_task("catalog", total=None, more="")

    def show(state: "Transferred") -> None:
        done = state.copied_blobs + state.blobs_there + len(state.problems)
        bars.update(blobs, completed=done, total=state.all_blobs, more=f"{state.copied_bytes >> 20} MiB copied")
        bars.update(rows, completed=state.rows, total=state.all_rows)

    with bars:
        return run(show)


def _tell(state: "Transferred") -> None:
    if not sys.stdout.isatty():
        typer.echo(json.dumps(asdict(state)))
        return
    typer.echo(
        f"{state.copied_blobs} blobs copied ({state.copied_bytes} bytes), {state.blobs_there} there already; "
        f"{state.rows} rows of the catalog"
    )
    for sha256, problem in state.problems.items():
        typer.echo(f"not copied, because it is damaged: {sha256}: {problem}", err=True)
    if state.problems:
        typer.echo("repair them here (`distfile-mirror verify`, and downloaders at work), then run it again", err=True)
