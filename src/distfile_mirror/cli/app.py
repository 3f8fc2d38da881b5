"""The program `distfile-mirror`: its commands, and how every error reaches a person."""

import sys
from typing import Annotated

import typer

from distfile_mirror import __version__
from distfile_mirror.cli import (
    authority_commands,
    doctor_command,
    server_commands,
    transfer_command,
    user_commands,
    verify_command,
)
from distfile_mirror.errors import MirrorError, in_one_line

# Each of these is a process of production. They start fast: what speaks REST and draws tables is not imported.
COMPONENTS = frozenset(
    {"serve", "web-proxy", "web-admin", "cron-download-files", "cron-download-containers", "migrate"}
)


def make_app(*, with_clients: bool = True) -> typer.Typer:
    """Return the program's commands, with or without those that speak REST to a running server."""
    app = typer.Typer(
        name="distfile-mirror",
        help="The permanent store between your builds and the Internet.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    server_commands.register(app)
    verify_command.register(app)
    doctor_command.register(app)
    transfer_command.register(app)
    app.add_typer(authority_commands.app, name="ca")
    app.add_typer(user_commands.app, name="users")
    if with_clients:
        from distfile_mirror.cli import client_commands, image_commands, miss_commands, project_commands

        for commands in (client_commands, image_commands, miss_commands, project_commands):
            commands.register(app)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"distfile-mirror {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take options that stand before the command."""


def run() -> None:
    """Run the program. Exit status: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        make_app(with_clients=COMPONENTS.isdisjoint(sys.argv[1:2]))()
    except (MirrorError, OSError) as error:
        typer.echo(f"distfile-mirror: {in_one_line(error)}", err=True)
        sys.exit(1)
