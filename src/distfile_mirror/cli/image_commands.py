"""The commands for container images that speak REST to a running server.

An image is identified by its digest. A tag alone is refused as wrong usage, with the command that
declares the digest which the tag has now.
"""

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from distfile_mirror.cli import conversation, output
from distfile_mirror.cli.conversation import (
    DEFAULT_SERVER,
    WRONG_USAGE,
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
from distfile_mirror.cli.image_output import print_image
from distfile_mirror.cli.rest import IMAGES, Document, MirrorClient, RefusedError
from distfile_mirror.model.platforms import parse_choice
from distfile_mirror.model.references import parse_reference
from distfile_mirror.model.states import State

# What is never shown again, even to who typed it.
SECRET_OPTIONS = frozenset({"token"})

Which = Annotated[str, typer.Argument(metavar="ID|REFERENCE", help="Number, reference with digest, or digest.")]
Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", metavar="PLATFORM", help="os/architecture[/variant], all, or none; repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for name, command in (
        ("add-image", add_image),
        ("list-images", list_images),
        ("show-image", show_image),
        ("choose-platforms", choose_platforms),
        ("wait-image", wait_image),
        ("retry-image", retry_image),
        ("block-image", block_image),
        ("unblock-image", unblock_image),
        ("approve-image", approve_image),
        ("reject-image", reject_image),
    ):
        app.command(name)(command)


def add_image(
    context: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="REFERENCE...", help="What to declare, with its digest: debian:12@sha256:…"),
    ] = None,
    *,
    project: Project,
    reason: Reason,
    licence: Licence = "",
    platform: Platforms = None,
    with_referrers: Annotated[
        bool, typer.Option("--with-referrers", help="Keep signatures and the like along.")
    ] = False,
    resolve: Annotated[bool, typer.Option("--resolve", help="Declare the digest that a tag has now.")] = False,
    registry: Annotated[str, typer.Option(metavar="URI", help="Instead of a reference, with the next two.")] = "",
    repository: Annotated[str, typer.Option(metavar="NAME", help="Its name in the registry.")] = "",
    digest: Annotated[str, typer.Option(metavar="DIGEST", help="sha256:…")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all is fetched.")] = False,
    timeout: Timeout = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Declare that container images must be present, for which project, and why."""
    images = _images(references or [], {"registry": registry, "repository": repository, "digest": digest})
    conversation.check_not_blank(project=project, reason=reason)
    shared = {
        "project": project,
        "reason": reason,
        "licence": licence,
        "platforms": _checked(platform or []),
        "with_referrers": with_referrers,
        "resolve": resolve,
    }
    declarations = [(name, {**parts, **shared}) for name, parts in images]
    with talking(server, token, IMAGES) as client:
        if not resolve:
            _refuse_tags(client, declarations, _given_options(context), json=json)
        conversation.declare_all(client, declarations, wait=wait, timeout=timeout, json=json)


def list_images(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the reference or of the digest.")] = "",
    state: Annotated[State | None, typer.Option(help="Only images in this state.")] = None,
    project: Annotated[str, typer.Option(help="Only images that this project uses.")] = "",
    registry: Annotated[str, typer.Option(metavar="URI", help="Only images of this registry.")] = "",
    repository: Annotated[str, typer.Option(metavar="NAME", help="Only images of this repository.")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List container images, newest first."""
    exact = {"project": project, "registry": registry, "repository": repository}
    filters = {"q": q, "state": state.value if state else "", **exact}
    with talking(server, token, IMAGES) as client:
        conversation.list_all(client, filters, limit=limit, everything=everything, json=json)


def show_image(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Show all that is known of a container image: its layers, or the platforms of an index."""
    with talking(server, token, IMAGES) as client:
        image = client.find(which)
    (output.print_json if json else print_image)(image)


def choose_platforms(
    which: Which,
    *,
    platform: Annotated[
        list[str],
        typer.Option("--platform", metavar="PLATFORM", help="os/architecture[/variant], or all; repeatable."),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they are fetched.")] = False,
    timeout: Timeout = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Fetch further platforms of an index; what it had is served on."""
    body = {"platforms": _checked(platform)}
    with talking(server, token, IMAGES) as client:
        image = client.act(client.find(which)["id"], "platforms", body)
        if wait:
            conversation.wait_for_each(client, [str(image["id"])], timeout, json=json)
        else:
            conversation.print_result(image, json=json)


def wait_image(
    which: Annotated[list[str], typer.Argument(metavar="ID|REFERENCE...", help="Numbers or references of images.")],
    *,
    timeout: Timeout = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Wait until container images are present or have failed."""
    with talking(server, token, IMAGES) as client:
        conversation.wait_for_each(client, which, timeout, json=json)


def retry_image(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Try a failed container image again."""
    with talking(server, token, IMAGES) as client:
        conversation.act(client, which, "retry", None, json=json)


def block_image(
    which: Which, *, reason: BlockReason, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False
) -> None:
    """Stop serving a container image; its bytes are kept."""
    with talking(server, token, IMAGES) as client:
        conversation.act(client, which, "block", {"reason": reason}, json=json)


def unblock_image(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Serve a blocked container image again."""
    with talking(server, token, IMAGES) as client:
        conversation.act(client, which, "unblock", None, json=json)


def approve_image(which: Which, *, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False) -> None:
    """Let a container image be fetched that waits for approval."""
    with talking(server, token, IMAGES) as client:
        conversation.act(client, which, "approve", None, json=json)


def reject_image(
    which: Which, *, reason: RejectReason, server: Server = DEFAULT_SERVER, token: Token = "", json: Json = False
) -> None:
    """Refuse a container image that waits for approval."""
    with talking(server, token, IMAGES) as client:
        conversation.act(client, which, "reject", {"reason": reason}, json=json)


def _images(references: Sequence[str], parts: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return what is to be declared: a name for messages, and what names the image to the server."""
    missing = [name for name, value in parts.items() if not value]
    if len(missing) == len(parts):
        if not references:
            raise typer.BadParameter("name an image, or give --registry, --repository and --digest")
        return [(reference, {"reference": reference}) for reference in references]
    if references:
        raise typer.BadParameter("give references, or --registry, --repository and --digest, not both")
    if missing:
        raise typer.BadParameter("--registry, --repository and --digest go together", param_hint=f"--{missing[0]}")
    return [(f"{parts['registry']}/{parts['repository']}@{parts['digest']}", parts)]


def _checked(platforms: list[str]) -> list[str]:
    try:
        return parse_choice(platforms).texts() if platforms else []
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--platform") from None


def _refuse_tags(
    client: MirrorClient, declarations: Sequence[tuple[str, dict[str, Any]]], options: Sequence[str], *, json: bool
) -> None:
    """End with wrong usage, before anything is declared, if some image is named by a tag alone."""
    results: list[Document] = []
    for name, declaration in declarations:
        if not _names_tag_alone(declaration.get("reference", "")):
            continue
        try:
            client.declare(declaration)
        except RefusedError as error:
            results.append({"reference": name, "error": error.problem})
            output.print_error(error, about=name)
            if resolved := error.problem.get("resolved"):
                _print_instead(resolved["reference"], options)
    if results:
        if json:
            conversation.print_results(results)
        raise typer.Exit(WRONG_USAGE)


def _names_tag_alone(reference: str) -> bool:
    try:
        return bool(reference) and parse_reference(reference).digest is None
    except ValueError:  # the server says what is wrong with it
        return False


def _print_instead(reference: str, options: Sequence[str]) -> None:
    command = shlex.join(["distfile-mirror", "add-image", reference, *options])
    console = output.stderr()
    console.print(f"  to declare what it has now: {output.clean(command)}")
    console.print("  or, in one step and with the date as evidence: the same command with --resolve")


def _given_options(context: typer.Context) -> list[str]:
    """Return the options that stood on the command line, as they are typed."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        is_given = source is not None and source.name == "COMMANDLINE"
        if parameter.param_type_name != "option" or name in SECRET_OPTIONS or not is_given:
            continue
        value = context.params[name]
        if value is True:
            words.append(parameter.opts[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], f"{each:g}" if isinstance(each, float) else str(each)]
    return words
