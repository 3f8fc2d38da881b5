"""How single settings are written, for flags, the environment and TOML, and what is read of them."""

import ipaddress
import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from distfile_mirror.model.addresses import ConnectTo, IPNetwork, ListenAddress, parse_connect_to, parse_listen_address
from distfile_mirror.model.platforms import parse_choice
from distfile_mirror.model.references import normalise_registry
from distfile_mirror.model.roles import Role

NO_SIGN_IN = "none"
SIGN_IN_METHODS = (NO_SIGN_IN, "accounts", "oidc", "header")


def _words(value: Any) -> Any:
    """Let a list be written as one string, its items separated by commas or white space."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _listen(value: Any) -> Any:
    return parse_listen_address(value) if isinstance(value, str) else value


def _connect_to(value: Any) -> Any:
    return tuple(parse_connect_to(item) if isinstance(item, str) else item for item in _words(value))


def _networks(value: Any) -> Any:
    return tuple(_network(item) if isinstance(item, str) else item for item in _words(value))


def _platforms(value: Any) -> Any:
    return tuple(parse_choice(_words(value)).texts())


def _registries(value: Any) -> Any:
    return tuple(normalise_registry(item) for item in _words(value))


def _hosts(value: Any) -> Any:
    """Write addresses of IPv6 as they stand in a URL; those who know them may not know that."""
    return tuple(f"[{item}]" if item.count(":") > 1 and "[" not in item else item for item in _words(value))


def _sign_in(value: Any) -> Any:
    methods = tuple(_words(value))
    unknown = [method for method in methods if method not in SIGN_IN_METHODS]
    if unknown or not methods:
        message = f"{' '.join(map(str, unknown)) or 'nothing'} is no sign-in; possible: {', '.join(SIGN_IN_METHODS)}"
        raise ValueError(message)
    if NO_SIGN_IN in methods and len(methods) > 1:
        message = "none goes with no other sign-in"
        raise ValueError(message)
    return methods


def _role_groups(value: Any) -> Any:
    """Read role -> group or groups, of a TOML table or as JSON."""
    if isinstance(value, str):
        value = json.loads(value)  # its error is a ValueError, with a text for people
    if not isinstance(value, dict):
        message = 'write a table of role and groups, such as {"approver": ["release-team"]}'
        raise ValueError(message)  # noqa: TRY004 - pydantic collects these
    return {role: (groups,) if isinstance(groups, str) else groups for role, groups in value.items()}


def _network(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        message = f"{error}; write a network such as 10.0.0.0/8 or fd00::/8"
        raise ValueError(message) from None


Listen = Annotated[ListenAddress, NoDecode, BeforeValidator(_listen)]
HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Networks = Annotated[tuple[IPNetwork, ...], NoDecode, BeforeValidator(_networks)]
RoleGroups = Annotated[dict[Role, tuple[str, ...]], NoDecode, BeforeValidator(_role_groups)]
SignIn = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_sign_in)]
OptionalListen = Annotated[ListenAddress | None, NoDecode, BeforeValidator(_listen)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]
ConnectTos = Annotated[tuple[ConnectTo, ...], NoDecode, BeforeValidator(_connect_to)]
Platforms = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_platforms)]
Registries = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_registries)]
