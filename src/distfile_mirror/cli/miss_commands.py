"""The commands for what builds asked for in vain: they speak REST to a running server."""

from collections.abc import Sequence
from typing import Annotated

import typer

from distfile_mirror.cli import conversation, output
from distfile_mirror.cli.conversation import (
    DEFAULT_SERVER,
    Everything,
    Json,
    Licence,
    Limit,
    Project,
    Reason,
    Server,
    Since,
    Token,
    Until,
    talking,
)
from distfile_mirror.cli.rest import Document
from distfile_mirror.errors import MirrorError, NotFoundError
from distfile_mirror.model.misses import MissReason

COLUMNS = ("ID", "Times", "Last", "Why", "Asked for in vain")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("misses")(misses)
    app.command("declare-misses")(declare_misses)


def misses(
    *,
    q: Annotated[str, typer.Option("--q", metavar="TEXT", help="Part of the URI or of the reference.")] = "",
    label: Annotated[str, typer.Option(help="Only what builds with this label asked for.")] = "",
    client: Annotated[str, typer.Option(metavar="ADDRESS", help="Only what was asked for from there.")] = "",
    reason: Annotated[MissReason | None, typer.Option(help="Only what is missing for this reason.")] = None,
    since: Since = "",
    until: Until = "",
    dismissed: Annotated[bool, typer.Option("--dismissed", help="What was dismissed, instead of the others.")] = False,
    limit: Limit = 50,
    everything: Everything = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """List what builds asked for in vain, the latest first."""
    filters = {"q": q, "label": label, "client": client, "reason": reason.value if reason else ""}
    filters |= {"since": since, "until": until, "dismissed": "true" if dismissed else ""}
    most = None if everything else limit
    with talking(server, token) as client_of_server:
        found = list(client_of_server.list_of("misses", filters, limit=most))
        conversation.print_found(found, _print_misses, limit=most, json=json)


def declare_misses(
    which: Annotated[list[int] | None, typer.Argument(metavar="ID...", min=1, help="Numbers of misses.")] = None,
    *,
    label: Annotated[str, typer.Option(help="All that builds with this label asked for in vain.")] = "",
    project: Project,
    reason: Reason,
    licence: Licence = "",
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Declare what builds asked for in vain; an image asked for by tag by the digest that the tag has now."""
    conversation.check_not_blank(project=project, reason=reason)
    if not which and not label:
        raise typer.BadParameter("name misses by their number, or give --label", param_hint="ID")
    with talking(server, token) as client:
        ids = list(which or [])
        if label:
            ids += [miss["id"] for miss in client.list_of("misses", {"label": label})]
        if not ids:
            raise NotFoundError(f"builds with the label {label} asked for nothing in vain")
        outcomes = list(client.declare_misses(ids, {"project": project, "reason": reason, "licence": licence}))
    _print_outcomes(outcomes, json=json)
    conversation.end(failed=any(outcome["problem"] for outcome in outcomes))


def _print_misses(found: Sequence[Document]) -> None:
    rows = ((miss["id"], miss["count"], miss["last_at"], miss["reason"], miss["name"]) for miss in found)
    output.print_rows(COLUMNS, rows)


def _print_outcomes(outcomes: Sequence[Document], *, json: bool) -> None:
    """Print what became of each; refusals as errors too."""
    if json:
        output.print_json(outcomes)
    for outcome in outcomes:
        if outcome["problem"]:
            output.print_error(MirrorError(outcome["problem"]), about=outcome["name"])
        elif not json:
            text = f"{outcome['name']} is declared ({outcome['kind']} {outcome['artifact_id']})"
            output.stdout().print(output.clean(text))
