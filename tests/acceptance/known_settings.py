"""The variables that deploy files may set, and the commands that they may run."""

import typer

from distfile_mirror.cli.app import make_app
from distfile_mirror.config import ENVIRONMENT_PREFIX, Config

# What the client of object stores reads.
OBJECT_STORE = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ALLOW_HTTP"}
OTHERS = {f"{ENVIRONMENT_PREFIX}CONFIG"}


def unknown(names):
    """Return those of ``names`` that nothing reads."""
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Config.model_fields}
    return set(names) - known - OBJECT_STORE - OTHERS


def is_command(arguments):
    """Tell whether `distfile-mirror` takes ``arguments``: a command, and flags that it has."""
    name, *flags = arguments
    command = typer.main.get_command(make_app()).commands.get(name)
    return command is not None and set(flags) <= {flag for option in command.params for flag in option.opts}
