"""How a client command talks with server and person: the options that all have, waiting, and how it ends.

Exit status: 0 done; 1 something failed or was refused; 2 wrong usage; 130 interrupted while waiting.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from distfile_mirror.cli import output
from distfile_mirror.cli.rest import FILES, Document, Kind, MirrorClient, RefusedError
from distfile_mirror.cli.waiting import SETTLED, wait_for
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.states import State

WRONG_USAGE = 2
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
Project = Annotated[str, typer.Option(help="What uses it.")]
Reason = Annotated[str, typer.Option(help="Why it is needed.")]
Licence = Annotated[str, typer.Option("--licence", "--license", metavar="SPDX", help="SPDX expression.")]
BlockReason = Annotated[str, typer.Option(help="Why it must not be used; builds are shown it.")]
RejectReason = Annotated[str, typer.Option("--reason", help="Why it is not to be had; its declarers are shown it.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Since = Annotated[str, typer.Option(metavar="TIME", help="A day or a moment in ISO 8601, UTC by default.")]
Until = Annotated[str, typer.Option(metavar="TIME", help="The same.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, however many.")]


@contextmanager
def talking(server: str, token: str, kind: Kind = FILES) -> Iterator[MirrorClient]:
    """Give a client; whatever it raises ends in a line on standard error and status 1."""
    try:
        with MirrorClient(server, token, kind) as client:
            yield client
    except MirrorError as error:
        output.print_error(error)
        raise typer.Exit(1) from None


def declare_all(
    client: MirrorClient,
    wanted: Iterable[tuple[str, dict[str, Any]]],
    *,
    wait: bool,
    timeout: float | None,
    json: bool,
) -> None:
    """Declare each of ``wanted``, pairs of a name and a declaration, wait if asked to, print, and end."""
    results = []
    for name, declaration in wanted:
        results.append(_declare(client, name, declaration))
        if "id" in results[-1] and not (wait or json):
            output.print_sentence(results[-1], output.stdout())
    found = {result["id"]: result for result in results if "id" in result}
    if wait and found:
        found = wait_until_settled(client, found, timeout, json=json)
    if json:
        print_results([found.get(result.get("id", 0), result) for result in results])
    end(failed=any("id" not in result for result in results) or (wait and not all_present(found.values())))


def list_all(client: MirrorClient, filters: dict[str, str], *, limit: int, everything: bool, json: bool) -> None:
    """Print what the server lists of a kind of artifact."""
    found = list(client.list(filters, limit=None if everything else limit))
    print_found(found, output.print_list, limit=None if everything else limit, json=json)


def print_found(
    found: list[Document],
    show: Callable[[Sequence[Document]], None],
    *,
    limit: int | None,
    json: bool,
    first: str = "newest",
) -> None:
    """Print a list, and that there may be more of it."""
    if json:
        output.print_json(found)
        return
    show(found)
    if len(found) == limit:
        output.stderr().print(f"the {first} {limit}; --all or --limit shows more")


def wait_for_each(client: MirrorClient, which: Iterable[str], timeout: float | None, *, json: bool) -> None:
    """Wait until each has settled, print, and end."""
    found = [client.find(each) for each in which]
    settled = wait_until_settled(client, {document["id"]: document for document in found}, timeout, json=json)
    if json:
        print_results([settled[document["id"]] for document in found])
    end(failed=not all_present(settled.values()))


def act(client: MirrorClient, which: str, action: str, body: dict[str, Any] | None, *, json: bool) -> None:
    """Do ``action`` to what is meant, and print what became of it."""
    print_result(client.act(client.find(which)["id"], action, body), json=json)


def print_result(document: Document, *, json: bool) -> None:
    """Print what became of a file or an image."""
    if json:
        output.print_json(document)
    else:
        output.print_sentence(document, output.stdout())


def print_results(results: list[Document]) -> None:
    """Print one document as itself, several as a list."""
    output.print_json(results[0] if len(results) == 1 else results)


def wait_until_settled(
    client: MirrorClient, found: dict[int, Document], timeout: float | None, *, json: bool
) -> dict[int, Document]:
    """Wait, showing how it goes; return what became of each. Raises typer.Exit if interrupted."""
    console = output.stderr() if json else output.stdout()
    try:
        settled = wait_for(client, found, timeout=timeout, console=console)
    except KeyboardInterrupt:
        command = " ".join([f"distfile-mirror wait{client.kind.suffix}", *map(str, found)])
        output.stderr().print(f"\nstopped waiting; the download goes on. To wait again: {command}")
        raise typer.Exit(INTERRUPTED) from None
    late = [each["state"] for each in settled.values() if each["state"] not in SETTLED]
    waiting = late.count(State.REQUESTED)
    if len(late) > waiting:
        output.stderr().print(f"not there after {timeout:g} seconds: {len(late) - waiting}; the download goes on")
    if waiting:
        output.stderr().print(f"not approved after {timeout:g} seconds: {waiting}; nothing of it is fetched before")
    return settled


def check_not_blank(**given: str) -> None:
    """Refuse what is given and empty. Raises typer.BadParameter."""
    for name, value in given.items():
        if not value.strip():
            raise typer.BadParameter("must not be empty", param_hint=f"--{name}")


def all_present(found: Collection[Document]) -> bool:
    """Tell whether all have arrived."""
    return all(document["state"] == State.PRESENT for document in found)


def end(*, failed: bool) -> None:
    """End with status 1 if something failed."""
    if failed:
        raise typer.Exit(1)


def _declare(client: MirrorClient, name: str, declaration: dict[str, Any]) -> Document:
    """Declare; a refusal is printed and returned as {its name, error}, and the others go on."""
    try:
        document, _created = client.declare(declaration)
    except RefusedError as error:
        output.print_error(error, about=name)
        return {client.kind.named_by: name, "error": error.problem}
    return document
