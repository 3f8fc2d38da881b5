"""The commands for files that speak REST to a running server: add, list, show, wait and so on."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from distfile_mirror.cli import conversation, output
from distfile_mirror.cli.conversation import (
    DEFAULT_SERVER,
    BlockReason,
    Everything,
    Json,
    Licence,
    Limit,
    Project,
    Reason,
    RejectReason,
    Server,
    Timeout,
    Token,
    talking,
)
from distfile_mirror.cli.declarations import Wanted, wanted
from distfile_mirror.model.checksums import parse_checksums
from distfile_mirror.model.states import State

Which = Annotated[str, typer.Argument(metavar="ID|URI", help="Number or URI of the file.")]
Checksums = Annotated[
    list[str] | None,
    typer.Option("--checksum", metavar="CHECKSUM", help="algorithm:hex or Subresource Integrity; repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the client commands to ``app``."""
    for name, command in (
        ("add", add),
        ("list", list_files),
        ("show", show),
        ("wait", wait),
        ("retry", retry),
        ("block", block),
        ("unblock", unblock),
        ("amend", amend),
        ("approve", approve),
        ("reject", reject),
    ):
        app.command(name)(command)


def add(
    uris: Annotated[
        list[str],
        typer.Argument(metavar="URI...", help="What to declare; - reads lines: a URI, and its checksum if known."),
    ],
    *,
    project: Project,
    reason: Reason,
    licence: Licence = "",
    checksum: Checksums = None,
    fallback: Annotated[
        list[str] | None, typer.Option(metavar="URI", help="Where else the same bytes are; repeatable.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all is fetched.")] = False,
    timeout: Timeout = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Declare that files must be present, for which project, and why."""
    items = wanted(uris, sys.stdin)
    _check_usage(items, checksum or [], fallback or [], project, reason)
    shared = {"project": project, "reason": reason, "licence": licence, "fallback_uris": fallback or []}
    bodies = [
        (item.uri, {"uri": item.uri, **shared, "checksums": [*item.checksums, *(checksum or [])]}) for item in items
    ]
    with talking(server, token) as client:
        conversation.declare_all(client, bodies, wait=wait, timeout=timeout, json=json)


def list_files(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the URI or of the stored sha256.")] = "",
    state: Annotated[State | None, typer.Option(help="Only files in this state.")] = None,
    project: Annotated[str, typer.Option(help="Only files that this project uses.")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List files, newest first."""
    filters = {"q": q, "state": state.value if state else "", "project": project}
    with talking(server, token) as client:
        conversation.list_all(client, filters, limit=limit, everything=everything, json=json)


def show(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Show all that is known of a file."""
    with talking(server, token) as client:
        file = client.find(which)
    (output.print_json if json else output.print_details)(file)


def wait(
    which: Annotated[list[str], typer.Argument(metavar="ID|URI...", help="Numbers or URIs of files.")],
    *,
    timeout: Timeout = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Wait until files are present or have failed."""
    with talking(server, token) as client:
        conversation.wait_for_each(client, which, timeout, json=json)


def retry(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Try a failed download again."""
    with talking(server, token) as client:
        conversation.act(client, which, "retry", None, json=json)


def block(
    which: Which,
    *,
    reason: BlockReason,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Stop serving a file; its bytes are kept."""
    with talking(server, token) as client:
        conversation.act(client, which, "block", {"reason": reason}, json=json)


def unblock(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Serve a blocked file again."""
    with talking(server, token) as client:
        conversation.act(client, which, "unblock", None, json=json)


def approve(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Let a file be fetched that waits for approval."""
    with talking(server, token) as client:
        conversation.act(client, which, "approve", None, json=json)


def reject(
    which: Which,
    *,
    reason: RejectReason,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Refuse a file that waits for approval."""
    with talking(server, token) as client:
        conversation.act(client, which, "reject", {"reason": reason}, json=json)


def amend(
    which: Which,
    *,
    checksum: Annotated[
        list[str], typer.Option("--checksum", metavar="CHECKSUM", help="Replaces those so far; repeatable.")
    ],
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Replace the expected checksums of a file that is not stored yet; a failed one is tried again."""
    _check_checksums(checksum)
    with talking(server, token) as client:
        conversation.print_result(client.amend(client.find(which)["id"], checksum), json=json)


def _check_usage(
    items: Sequence[Wanted], checksums: list[str], fallbacks: list[str], project: str, reason: str
) -> None:
    if not items:
        raise typer.BadParameter("nothing to declare: standard input has no URI", param_hint="URI")
    if len(items) > 1 and checksums:
        raise typer.BadParameter(
            "is for one URI; with several, give lines of URI CHECKSUM to -", param_hint="--checksum"
        )
    if len(items) > 1 and fallbacks:
        raise typer.BadParameter("is for one URI; declare it by itself", param_hint="--fallback")
    conversation.check_not_blank(project=project, reason=reason)
    _check_checksums(checksums)


def _check_checksums(checksums: list[str]) -> None:
    try:
        parse_checksums(checksums)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--checksum") from None
