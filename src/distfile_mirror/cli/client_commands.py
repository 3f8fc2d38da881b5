"""The commands that speak REST to a running server: add, list, show, wait, retry, block, unblock, amend.

Exit status: 0 done; 1 something failed or was refused; 2 wrong usage; 130 interrupted while waiting.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from distfile_mirror.cli import output
from distfile_mirror.cli.declarations import Wanted, wanted
from distfile_mirror.cli.rest import Document, MirrorClient, RefusedError
from distfile_mirror.cli.waiting import wait_for
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.checksums import parse_checksums
from distfile_mirror.model.states import State

INTERRUPTED = 130
DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str, typer.Option("--server", envvar="DISTFILE_MIRROR_SERVER", metavar="URL", help="Where the server is.")
]
Token = Annotated[
    str, typer.Option("--token", envvar="DISTFILE_MIRROR_TOKEN", metavar="TOKEN", help="API token, if it needs one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="Wait no longer; the download goes on.")
]
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
    ):
        app.command(name)(command)


def add(
    uris: Annotated[
        list[str],
        typer.Argument(metavar="URI...", help="What to declare; - reads lines: a URI, and its checksum if known."),
    ],
    *,
    project: Annotated[str, typer.Option(help="What uses it.")],
    reason: Annotated[str, typer.Option(help="Why it is needed.")],
    licence: Annotated[str, typer.Option("--licence", "--license", metavar="SPDX", help="SPDX expression.")] = "",
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
    with _client(server, token) as client:
        results = []
        for item in items:
            results.append(_declare(client, item, {**shared, "checksums": [*item.checksums, *(checksum or [])]}))
            if "id" in results[-1] and not (wait or json):
                output.print_sentence(results[-1], output.stdout())
        files = {result["id"]: result for result in results if "id" in result}
        if wait and files:
            files = _wait(client, files, timeout, json=json)
    if json:
        results = [files.get(result.get("id", 0), result) for result in results]
        output.print_json(results[0] if len(results) == 1 else results)
    _exit(failed=any("id" not in result for result in results) or (wait and not _all_present(files.values())))


def list_files(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the URI or of the stored sha256.")] = "",
    state: Annotated[State | None, typer.Option(help="Only files in this state.")] = None,
    project: Annotated[str, typer.Option(help="Only files that this project uses.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List files, newest first."""
    with _client(server, token) as client:
        filters = {"q": q, "state": state.value if state else "", "project": project}
        files = list(client.files(limit=None if everything else limit, **filters))
    if json:
        output.print_json(files)
        return
    output.print_list(files)
    if len(files) == limit and not everything:
        output.stderr().print(f"the newest {limit}; --all or --limit shows more")


def show(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Show all that is known of a file."""
    with _client(server, token) as client:
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
    with _client(server, token) as client:
        found = [client.find(each) for each in which]
        files = _wait(client, {file["id"]: file for file in found}, timeout, json=json)
    if json:
        results = [files[file["id"]] for file in found]
        output.print_json(results[0] if len(results) == 1 else results)
    _exit(failed=not _all_present(files.values()))


def retry(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Try a failed download again."""
    _act(which, "retry", None, server, token, json=json)


def block(
    which: Which,
    *,
    reason: Annotated[str, typer.Option(help="Why it must not be used; builds are shown it.")],
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Stop serving a file; its bytes are kept."""
    _act(which, "block", {"reason": reason}, server, token, json=json)


def unblock(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Serve a blocked file again."""
    _act(which, "unblock", None, server, token, json=json)


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
    with _client(server, token) as client:
        _print(client.amend(client.find(which)["id"], checksum), json=json)


def _act(which: str, action: str, body: dict[str, Any] | None, server: str, token: str, *, json: bool) -> None:
    with _client(server, token) as client:
        _print(client.act(client.find(which)["id"], action, body), json=json)


def _print(file: Document, *, json: bool) -> None:
    if json:
        output.print_json(file)
    else:
        output.print_sentence(file, output.stdout())


@contextmanager
def _client(server: str, token: str) -> Iterator[MirrorClient]:
    """Give a client; whatever it raises ends in a line on standard error and status 1."""
    try:
        with MirrorClient(server, token) as client:
            yield client
    except MirrorError as error:
        output.print_error(error)
        raise typer.Exit(1) from None


def _declare(client: MirrorClient, item: Wanted, rest: dict[str, Any]) -> Document:
    """Declare one file; a refusal is printed and returned as {uri, error}, and the others go on."""
    try:
        file, _created = client.declare({"uri": item.uri, **rest})
    except RefusedError as error:
        output.print_error(error, about=item.uri)
        return {"uri": item.uri, "error": error.problem}
    return file


def _wait(
    client: MirrorClient, files: dict[int, Document], timeout: float | None, *, json: bool
) -> dict[int, Document]:
    console = output.stderr() if json else output.stdout()
    try:
        settled = wait_for(client, files, timeout=timeout, console=console)
    except KeyboardInterrupt:
        numbers = " ".join(map(str, files))
        output.stderr().print(f"\nstopped waiting; the download goes on. To wait again: distfile-mirror wait {numbers}")
        raise typer.Exit(INTERRUPTED) from None
    late = [file for file in settled.values() if file["state"] in {State.PENDING, State.FETCHING, State.REQUESTED}]
    if late:
        output.stderr().print(f"not there after {timeout:g} seconds: {len(late)}; the download goes on")
    return settled


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
    for flag, value in (("--project", project), ("--reason", reason)):
        if not value.strip():
            raise typer.BadParameter("must not be empty", param_hint=flag)
    _check_checksums(checksums)


def _check_checksums(checksums: list[str]) -> None:
    try:
        parse_checksums(checksums)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--checksum") from None


def _all_present(files: Collection[Document]) -> bool:
    return all(file["state"] == State.PRESENT for file in files)


def _exit(*, failed: bool) -> None:
    if failed:
        raise typer.Exit(1)
