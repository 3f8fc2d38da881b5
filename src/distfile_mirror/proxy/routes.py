"""From a request and the way it came in to the URI that it asks for. Pure."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from distfile_mirror.model.uris import DEFAULT_PORTS, Authority, parse_authority, parse_file_uri
from distfile_mirror.proxy.registry_paths import RegistryRequest, parse_mirror_target, parse_registry_target
from distfile_mirror.proxy.request import Request

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# Targets longer than this are not remembered: memory stays bounded whatever clients send.
_MEMO_BYTES = 512


@dataclass(frozen=True, slots=True)
class Channel:
    """How requests come in.

    ``scheme`` is https where TLS was terminated. ``authority`` is the target of CONNECT, or for TLS
    straight on the port the name of its SNI; None where a client speaks to the port in plain HTTP.
    ``port_from_host``: the port is whatever Host says (traffic led here by DNS or a redirected port).
    ``own_hosts``: the Host values under which this server is asked for itself; so is any with ``own_port``.
    ``password``: what clients must show that are not in a tunnel; empty where anybody is served.
    """

    scheme: str = "http"
    authority: Authority | None = None
    port_from_host: bool = False
    own_hosts: frozenset[bytes] = frozenset()
    own_port: int = 0
    password: str = ""

    def is_own(self, host: bytes) -> bool:
        """Tell whether ``host``, as a client writes it, is this server."""
        host = host.lower()
        return host in self.own_hosts or (self.own_port > 0 and host.endswith(b":%d" % self.own_port))

    def encrypted(self, requested_name: str) -> "Channel":
        """Return what it becomes once TLS is up; ``requested_name`` is the client's SNI, or empty."""
        if self.authority is None and requested_name:
            authority = parse_authority(requested_name, default_port=443)
            return replace(self, scheme="https", authority=authority, port_from_host=True)
        return replace(self, scheme="https")


@dataclass(frozen=True, slots=True)
class OwnPath:
    """The server is asked for something of its own; ``path`` without query."""

    path: str


class FilePath(NamedTuple):
    """A file is asked for, by its normalised URI; ``registry``: what it is if a registry has it."""

    uri: str
    registry: RegistryRequest | None = None


@dataclass(frozen=True, slots=True)
class MirrorPath:
    """The server is asked for itself as a mirror of registries. ``uri`` is no address, only a key."""

    uri: str
    registry: RegistryRequest


@dataclass(frozen=True, slots=True)
class Misdirected:
    """Host names another server than the one that the connection is for (RFC 9110, 15.5.20)."""

    message: str


Route = OwnPath | FilePath | MirrorPath | Misdirected

OWN_PATHS = frozenset({"/", "/ca.pem", "/ca.der", "/ca.p12", "/health", "/metrics", "/favicon.ico"})


def route(request: Request, channel: Channel) -> Route:
    """Tell what ``request`` is for. Raises ValueError, saying what is wrong with its target or Host."""
    target = request.target
    host = request.headers.get(b"host", b"")
    if not target.startswith(b"/"):
        return _route_absolute(target, channel)
    if channel.authority is None or (channel.port_from_host and channel.is_own(host)):
        return _route_direct(target, host, channel)
    tunnelled = _remembered_tunnelled if len(target) + len(host) <= _MEMO_BYTES else _route_tunnelled
    return tunnelled(target, host, channel.scheme, channel.authority, channel.port_from_host)


def parse_connect_target(target: bytes) -> Authority:
    """Read the ``host:port`` of CONNECT (RFC 9110, 9.3.6). Raises ValueError."""
    return parse_authority(target.decode("ascii", "replace"))


def _route_absolute(target: bytes, channel: Channel) -> Route:
    found, scheme, authority, path = _parsed_absolute(target) if len(target) <= _MEMO_BYTES else _parse_absolute(target)
    if channel.authority is not None and (scheme, authority) != (channel.scheme, channel.authority):
        return _misdirected(authority.for_scheme(scheme).encode(), channel.authority)
    if channel.authority is None and channel.is_own(authority.for_scheme(scheme).encode()):
        if path in OWN_PATHS:
            return OwnPath(path)
        if _is_mirror_path(path):
            return _mirror_path(found.uri.removeprefix(_prefix(scheme, authority)))
    return found


def _route_tunnelled(
    target: bytes,
    host: bytes,
    scheme: str,
    authority: Authority,
    port_from_host: bool,  # noqa: FBT001 - a memo's arguments are by position
) -> Route:
    if host:
        named = _authority(host, scheme)
        if named.host != authority.host or (named.port != authority.port and not port_from_host and _names_port(host)):
            return _misdirected(host, authority)
        if port_from_host:
            authority = named
    return _file_path(scheme, authority, _target_text(target))


_remembered_tunnelled = lru_cache(maxsize=8192)(_route_tunnelled)


def _route_direct(target: bytes, host: bytes, channel: Channel) -> Route:
    path = target.partition(b"?")[0].decode("ascii", "replace")
    is_own = not host or channel.is_own(host)
    if _is_mirror_path(path) and (is_own or b"ns=" in target):
        return _mirror_path(_target_text(target))
    if path in OWN_PATHS or is_own:
        return OwnPath(path)
    return _file_path(channel.scheme, _authority(host, channel.scheme), _target_text(target))


def _parse_absolute(target: bytes) -> tuple[FilePath, str, Authority, str]:
    uri = parse_file_uri(_escaped(target).decode("ascii"))
    found = _file_path(uri.scheme, uri.authority, uri.target)
    return found, uri.scheme, uri.authority, uri.target.partition("?")[0]


_parsed_absolute = lru_cache(maxsize=8192)(_parse_absolute)


def _mirror_path(target: str) -> MirrorPath:
    return MirrorPath("mirror:" + target, parse_mirror_target(target))


def _is_mirror_path(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _file_path(scheme: str, authority: Authority, target: str) -> FilePath:
    """Make the route of a file, which a registry may have where its URL looks so."""
    uri = _prefix(scheme, authority) + target
    if "/v2" not in target and "scope=" not in target:
        return FilePath(uri)
    return FilePath(uri, parse_registry_target(authority.for_scheme("https"), target))


@lru_cache(maxsize=4096)
def _prefix(scheme: str, authority: Authority) -> str:
    return f"{scheme}://{authority.for_scheme(scheme)}"


@lru_cache(maxsize=4096)
def _authority(host: bytes, scheme: str) -> Authority:
    return parse_authority(host.decode("ascii", "replace"), default_port=DEFAULT_PORTS[scheme])


def _names_port(host: bytes) -> bool:
    return host.rpartition(b"]")[2].find(b":") >= 0


def _target_text(target: bytes) -> str:
    return _escaped(target.partition(b"#")[0] if b"#" in target else target).decode("ascii")


def _escaped(target: bytes) -> bytes:
    """Percent-encode what is not ASCII, as normalise_target does with the URIs of declarations."""
    return target if target.isascii() else _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], target)


def _misdirected(host: bytes, authority: Authority) -> Misdirected:
    return Misdirected(
        f"this connection is for {authority.host}:{authority.port}, and the request names {host.decode('latin-1')!r}"
    )
