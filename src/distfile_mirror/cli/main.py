"""The program `distfile-mirror`: its commands, and how every error reaches a person."""

import sys
from typing import Annotated

import typer

from distfile_mirror import __version__
from distfile_mirror.cli import (
    authority_commands,
    client_commands,
    doctor_command,
    image_commands,
    miss_commands,
    project_commands,
    server_commands,
    transfer_command,
    user_commands,
    verify_command,
)
from distfile_mirror.errors import MirrorError

app = typer.Typer(
    name="distfile-mirror",
    help="The permanent store between your builds and the Internet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
server_commands.register(app)
verify_command.register(app)
doctor_command.register(app)
transfer_command.register(app)
app.add_typer(authority_commands.app, name="ca")
app.add_typer(user_commands.app, name="users")
client_commands.register(app)
image_commands.register(app)
miss_commands.register(app)
project_commands.register(app)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"distfile-mirror {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take options that stand before the command."""


def main() -> None:
    """Run the program. Exit status: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        app()
    except MirrorError as error:
        typer.echo(f"distfile-mirror: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"distfile-mirror: {error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)
        sys.exit(1)
