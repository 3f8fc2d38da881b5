"""The commands for bookkeeping: projects, what each uses, and who changed what. They speak REST to a running server."""

import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distfile_mirror.cli import conversation, output
from distfile_mirror.cli.conversation import (
    DEFAULT_SERVER,
    Everything,
    Json,
    Limit,
    Server,
    Since,
    Token,
    Until,
    talking,
)
from distfile_mirror.cli.rest import Document, MirrorClient
from distfile_mirror.errors import NotFoundError
from distfile_mirror.model.sizes import size_in_words

PROJECT_COLUMNS = ("ID", "Files", "Images", "Size", "Unknown licences", "Project")
EVENT_COLUMNS = ("When", "Who", "What", "Kind", "Subject")


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    CYCLONEDX = "cyclonedx"


PATHS = {Format.CSV: "export.csv", Format.CYCLONEDX: "sbom.cdx.json"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("projects")(projects)
    app.command("export")(export)
    app.command("audit")(audit)


def projects(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the name.")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List projects by name, with how much each uses."""
    most = None if everything else limit
    with talking(server, token) as client:
        found = list(client.list_of("projects", {"q": q}, limit=most))
        conversation.print_found(found, _print_projects, limit=most, json=json, first="first")


def export(
    which: Annotated[str, typer.Argument(metavar="PROJECT", help="Name or number of the project.")],
    *,
    form: Annotated[Format, typer.Option("--format", help="A table, or a bill of materials.")] = Format.CSV,
    target: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to; standard output by default.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Export what a project uses: CSV, or CycloneDX 1.6 with hashes, licences and package URLs."""
    with talking(server, token) as client:
        parts = client.download(f"/projects/{_number(client, which)}/{PATHS[form]}")
        if target is None:
            sys.stdout.buffer.writelines(parts)
            sys.stdout.buffer.flush()
        else:
            _write_whole(parts, target)


def audit(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the name of what was changed.")] = "",
    actor: Annotated[str, typer.Option(metavar="NAME", help="Only what this one changed.")] = "",
    action: Annotated[str, typer.Option(metavar="ACTION", help="Only this action, as it is listed.")] = "",
    kind: Annotated[str, typer.Option(metavar="KIND", help="Only changes of a file, image, miss, user or token.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    everything: Everything = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List changes, newest first: who did what, when."""
    filters = {"q": q, "actor": actor, "action": action, "kind": kind, "since": since, "until": until}
    most = None if everything else limit
    with talking(server, token) as client:
        found = list(client.list_of("audit", filters, limit=most, member="events"))
        conversation.print_found(found, _print_events, limit=most, json=json)


def _number(client: MirrorClient, which: str) -> int:
    """Return the number of the project of this name, else of this number. Raises NotFoundError."""
    for project in client.list_of("projects", {"q": which}):
        if project["name"] == which:
            return int(project["id"])
    if not which.isdecimal():
        raise NotFoundError(f"there is no project {which}")
    return int(which)


def _write_whole(parts: Iterable[bytes], target: Path) -> None:
    """Write ``target`` as a whole, or leave what was there."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.writelines(parts)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _print_projects(found: Sequence[Document]) -> None:
    output.print_rows(PROJECT_COLUMNS, map(_project_row, found))


def _project_row(project: Document) -> tuple[object, ...]:
    size = size_in_words(project["stored_bytes"])
    counts = (project["id"], project["files"], project["images"], size, project["unknown_licences"])
    return (*counts, project["name"])


def _print_events(found: Sequence[Document]) -> None:
    rows = ((each["at"], each["actor"], each["action"], each["kind"], each["subject"]) for each in found)
    output.print_rows(EVENT_COLUMNS, rows)
