"""Credentials for registries, in the form that people have them: the ``auths`` of Docker's config.json.

They are read into memory and go nowhere but to the registry that they are for, and to the
address that it names for tokens. No message repeats them.
"""

import base64
import binascii
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distfile_mirror.model.references import normalise_registry

_SENDABLE = re.compile(r"[\x21-\x7e]+")
# How Docker writes the address of an API version that nobody speaks any more.
_OLD_API = re.compile(r"/v[12]/?$")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: a name and a password, or an identity token, or a token to be shown as it is. Empty: none."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of ``Authorization`` in the Basic scheme (RFC 7617), or empty without a name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def read_credentials(path: Path) -> dict[str, Credentials]:
    """Read the credentials in the file ``path``.

    Raises:
        ValueError: if it cannot be read, if everybody may read it, or what is wrong with its content.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ValueError(message) from None
    except UnicodeDecodeError:
        message = f"{path} is not JSON"
        raise ValueError(message) from None
    if mode & stat.S_IRWXO:
        message = f"{path} holds passwords and is open to everybody on this machine: chmod 600 {path}"
        raise ValueError(message)
    try:
        return parse_credentials(text)
    except ValueError as error:
        message = f"{path}: {error}"
        raise ValueError(message) from None


def parse_credentials(text: str) -> dict[str, Credentials]:
    """Read ``{"auths": {"<registry>[/<repository>]": {…}}}`` into normalised names -> credentials.

    An entry has ``auth`` (base64 of name:password), or ``username`` and ``password``, or
    ``identitytoken``, or ``registrytoken``.

    Raises:
        ValueError: saying what is wrong, without any of the secrets.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        message = "it is not JSON"
        raise ValueError(message) from None
    auths = document.get("auths") if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        message = 'it has no "auths", as in {"auths": {"ghcr.io": {"username": "…", "password": "…"}}}'
        raise ValueError(message)  # noqa: TRY004 - the file is wrong, not the program
    return {_key(name): _credentials(name, entry) for name, entry in auths.items()}


def find_credentials(known: Mapping[str, Credentials], registry: str, repository: str) -> Credentials | None:
    """Return the credentials for a repository: those of the longest name that leads to it, or None."""
    name = f"{registry}/{repository}"
    while name:
        if name in known:
            return known[name]
        name = name.rpartition("/")[0]
    return None


def _key(name: str) -> str:
    try:
        return normalise_registry(_OLD_API.sub("", name))
    except ValueError as error:
        message = f"auths: {error}"
        raise ValueError(message) from None


def _credentials(name: str, entry: Any) -> Credentials:
    if not isinstance(entry, dict):
        message = f"auths.{name} is not an object"
        raise ValueError(message)  # noqa: TRY004
    username, password = _text(entry, "username"), _text(entry, "password")
    if entry.get("auth"):
        username, password = _decoded(name, _text(entry, "auth"))
    identity, registry = _text(entry, "identitytoken"), _text(entry, "registrytoken")
    if registry and not _SENDABLE.fullmatch(registry):
        message = f"auths.{name}.registrytoken has characters that no token has"
        raise ValueError(message)
    if not (username or identity or registry):
        message = (
            f"auths.{name} holds no credentials (a credential helper of Docker's may have them, which is not asked "
            "here): write username and password"
        )
        raise ValueError(message)
    return Credentials(username, password, identity, registry)


def _decoded(name: str, text: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        message = f"auths.{name}.auth is not the base64 of name:password"
        raise ValueError(message)
    # Docker pads it with NUL in places.
    return username, password.rstrip("\0")


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""
