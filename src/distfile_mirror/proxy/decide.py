"""What to do with a request, before anything is looked up. Pure."""

from dataclasses import dataclass, field

from distfile_mirror.model.uris import Authority
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.routes import Channel, Misdirected, OwnPath, parse_connect_target, route

SERVED_METHODS = frozenset({b"GET", b"HEAD"})


@dataclass(frozen=True, slots=True)
class Serve:
    """Look ``uri`` up and serve it."""

    uri: str


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
    """Answer with an error. ``headers`` are extra header lines by name."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False


Decision = Serve | ServeOwn | StartTls | Refuse


def decide(request: Request, channel: Channel) -> Decision:
    """Decide on ``request``, which came in by ``channel``."""
    if request.method == b"CONNECT":
        return _decide_connect(request, channel)
    if refused := _refuse_form(request):
        return refused
    try:
        found = route(request, channel)
    except ValueError as error:
        return Refuse(400, str(error), close=True)
    if isinstance(found, Misdirected):
        return Refuse(421, found.message)
    if request.method not in SERVED_METHODS:
        return Refuse(405, _wrong_method(request.method), {"Allow": "GET, HEAD"})
    return ServeOwn(found.path) if isinstance(found, OwnPath) else Serve(found.uri)


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
