"""`distfile-mirror verify`: read stored blobs again, and say what is damaged."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from distfile_mirror.cli.server_commands import BlobsUrl, ConfigFile, DatabaseUrl, DataDir, Watch, rereadable

if TYPE_CHECKING:
    from distfile_mirror.catalog.rounds import Going


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(verify)


def verify(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blobs_url: BlobsUrl = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="BYTES", help="Read at most so many a second; 0: as fast as it goes."),
    ] = None,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Begin at the beginning, not where the last run was stopped.")
    ] = False,
    watch: Watch = False,
) -> None:
    """Read stored blobs again and compare them with their digests; exit status 1 if any is damaged.

    What is damaged is marked and no longer served; downloaders repair it where the same bytes can be had again.
    """
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file, data_dir=data_dir, database_url=database_url, blobs_url=blobs_url, verify_rate=rate
    )
    shows = sys.stderr.isatty() and not watch
    show = _show if shows else _hide
    summary, damaged = processes.verify(config, watch=watch, start_over=start_over, reread=reread, progress=show)
    if shows:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    if watch:
        return
    typer.echo(json.dumps({**summary, "damaged_now": damaged}) if not sys.stdout.isatty() else _told(summary, damaged))
    if damaged:
        raise typer.Exit(1)


def _told(summary: dict[str, int], damaged: int) -> str:
    read = f"{summary['blobs']} blobs read, {summary['read_bytes']} bytes"
    end = "" if summary["finished"] else "; stopped before the end, the next run goes on from there"
    return f"{read}; {damaged or 'none'} damaged{end}"


def _show(going: "Going") -> None:
    sys.stderr.write(f"\r{going.looked_at} blobs, {going.read_bytes >> 20} MiB, {going.found} damaged ")
    sys.stderr.flush()


def _hide(_going: "Going") -> None:
    pass
