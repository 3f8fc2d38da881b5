"""What to do with a request, before anything is looked up. Pure."""

from dataclasses import dataclass, field
from typing import NamedTuple

from distfile_mirror.model.uris import Authority
from distfile_mirror.proxy.labels import proves
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.routes import (
    Channel,
    FilePath,
    Misdirected,
    OwnPath,
    Route,
    parse_connect_target,
    route,
)

SERVED_METHODS = frozenset({b"GET", b"HEAD"})


class Serve(NamedTuple):
    """Look ``uri`` up and serve it; ``registry``: what it asks of a registry, if it may be that."""

    uri: str
    registry: RegistryRequest | None = None


@dataclass(frozen=True, slots=True)
class ServeRegistryBase:
    """Answer that the registry API is spoken here, and that nothing must be shown for it (no token)."""

    namespace: str


@dataclass(frozen=True, slots=True)
class ServeOwn:
    """Answer for the server itself."""

    path: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Answer 200 and expect TLS, or plain HTTP, for ``authority`` inside."""

    authority: Authority


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error. ``headers`` are extra header lines by name; ``code`` is that of a registry's error.

    ``asked``: the URI of something that could be mirrored, had it been asked for by another method.
    """

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False
    code: str = ""
    asked: str = ""


Decision = Serve | ServeRegistryBase | ServeOwn | StartTls | Refuse


def decide(request: Request, channel: Channel) -> Decision:
    """Decide on ``request``, which came in by ``channel``."""
    if channel.password and (refused := _refuse_stranger_to_proxy(request, channel)):
        return refused
    if request.method == b"CONNECT":
        return _decide_connect(request, channel)
    return _refuse_form(request) or _decide_routed(request, channel)


def _decide_routed(request: Request, channel: Channel) -> Decision:
    try:
        found = route(request, channel)
    except ValueError as error:
        return Refuse(400, str(error), close=True)
    if isinstance(found, Misdirected):
        return Refuse(421, found.message)
    if channel.password and (refused := _refuse_stranger(request, found, channel)):
        return refused
    registry = None if isinstance(found, OwnPath) else found.registry
    if request.method not in SERVED_METHODS:
        code = "UNSUPPORTED" if registry else ""
        uri = "" if isinstance(found, OwnPath) else found.uri
        return Refuse(405, _wrong_method(request.method), {"Allow": "GET, HEAD"}, code=code, asked=uri)
    return ServeOwn(found.path) if isinstance(found, OwnPath) else _serve(found.uri, registry)


def _serve(uri: str, registry: RegistryRequest | None) -> Decision:
    if registry is not None and registry.kind is Kind.BASE:
        return ServeRegistryBase(registry.namespace)
    if registry is not None and registry.kind is Kind.OTHER:
        return Refuse(404, _NO_ENDPOINT, code="UNSUPPORTED")
    return Serve(uri, registry)


_NO_ENDPOINT = (
    "there is no such endpoint; this mirror of registries serves /v2/<registry>/<repository>/manifests|blobs|referrers/"
    "<digest>, and /v2/<repository>/... for Docker Hub or with ?ns=<registry>"
)


def _refuse_stranger_to_proxy(request: Request, channel: Channel) -> Refuse | None:
    """Refuse who uses this as a proxy without the password (RFC 9110, 11.7)."""
    if request.method != b"CONNECT" and request.target.startswith(b"/"):
        return None
    if proves(request.headers.get(b"proxy-authorization", b""), channel.password):
        return None
    return Refuse(
        407,
        "this proxy wants a password: put it into the proxy's address, as in http://LABEL:PASSWORD@mirror:3128, "
        "where LABEL is any name by which you tell your builds apart",
        {"Proxy-Authenticate": 'Basic realm="Distfile Mirror", charset="UTF-8"'},
    )


def _refuse_stranger(request: Request, found: Route, channel: Channel) -> Refuse | None:
    """Refuse who comes past the proxy: nothing there can carry the proxy's password, but a registry mirror's own."""
    if isinstance(found, OwnPath) or not request.target.startswith(b"/"):
        return None
    if isinstance(found, FilePath):
        return Refuse(
            403, "proxy authentication is switched on, so this server must be used as a proxy, with a password"
        )
    if proves(request.headers.get(b"authorization", b""), channel.password):
        return None
    challenge = {"WWW-Authenticate": 'Basic realm="Distfile Mirror", charset="UTF-8"'}
    return Refuse(401, "this mirror wants a password: log in with any user name", challenge, code="UNAUTHORIZED")


def _refuse_form(request: Request) -> Refuse | None:
    if request.version not in {"1.1", "1.0"}:
        return Refuse(505, f"HTTP/{request.version} is not spoken here; use HTTP/1.1", close=True)
    if b"host" not in request.headers and request.version == "1.1":
        return Refuse(400, "an HTTP/1.1 request needs a Host header (RFC 9112, 3.2)", close=True)
    if request.headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Refuse(417, "the only expectation that is understood is 100-continue")
    return None


def _decide_connect(request: Request, channel: Channel) -> Decision:
    if channel.authority is not None:
        return Refuse(400, "CONNECT inside a tunnel leads nowhere", close=True)
    try:
        return StartTls(parse_connect_target(request.target))
    except ValueError as error:
        return Refuse(400, f"CONNECT needs host:port: {error}", close=True)


def _wrong_method(method: bytes) -> str:
    return (
        f"{method.decode('latin-1')} cannot be answered from a store of files: "
        "this mirror serves GET and HEAD of what was declared, and contacts no upstream"
    )
