"""The commands for users, which work on the database itself: there is a first administrator before anybody can sign in.

What they run is imported when they run, as for the other commands of the server.
"""

import sys
from typing import Annotated

import typer

from distfile_mirror.cli.server_commands import ConfigFile, DatabaseUrl, DataDir, configured
from distfile_mirror.model.roles import Role

app = typer.Typer(no_args_is_help=True, help="Users of the web pages and the REST API.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
NewRole = Annotated[Role, typer.Option("--role", help="What they may do.")]


@app.command()
def add(
    name: Name,
    *,
    role: NewRole,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    from distfile_mirror.wiring import people

    config = configured(config_file, data_dir=data_dir, database_url=database_url)
    people.add(config, name, role, _password())
    typer.echo(f"{name} is {role}")
    if "accounts" not in config.sign_in:
        typer.echo("passwords are asked for once the setting sign_in has accounts", err=True)


@app.command("list")
def list_users(*, config_file: ConfigFile = None, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all users: name, role, how they sign in, and whether they are disabled."""
    from distfile_mirror.wiring import people

    config = configured(config_file, data_dir=data_dir, database_url=database_url)
    for user in people.listed(config):
        state = "enabled" if user["is_active"] else "disabled"
        typer.echo("\t".join((str(user["name"]), str(user["role"]), str(user["source"]), state)))


@app.command("set-role")
def set_role(
    name: Name,
    *,
    role: NewRole,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a user another role."""
    from distfile_mirror.wiring import people

    config = configured(config_file, data_dir=data_dir, database_url=database_url)
    people.give_role(config, name, role)
    typer.echo(f"{name} is {role}")


@app.command()
def disable(
    name: Name, *, config_file: ConfigFile = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Disable a user: sessions and tokens end. The history keeps the name."""
    from distfile_mirror.wiring import people

    people.activate(configured(config_file, data_dir=data_dir, database_url=database_url), name, is_active=False)
    typer.echo(f"{name} is disabled")


@app.command()
def enable(
    name: Name, *, config_file: ConfigFile = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Enable a user who was disabled."""
    from distfile_mirror.wiring import people

    people.activate(configured(config_file, data_dir=data_dir, database_url=database_url), name, is_active=True)
    typer.echo(f"{name} is enabled")


@app.command("reset-password")
def reset_password(
    name: Name, *, config_file: ConfigFile = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Set a user's password, asked for or read from standard input; their sessions end."""
    from distfile_mirror.wiring import people

    config = configured(config_file, data_dir=data_dir, database_url=database_url)
    people.reset_password(config, name, _password())
    typer.echo(f"{name} has a new password")


def _password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")
