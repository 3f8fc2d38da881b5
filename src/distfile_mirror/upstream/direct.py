"""Asking upstreams directly: one request at a time on a connection of our own (ADR 0012)."""

import ssl
from collections.abc import Mapping
from urllib.parse import urlencode
from weakref import WeakSet

from distfile_mirror import __version__
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.dialing import Place, dial
from distfile_mirror.upstream.exchange import Exchange, write_request
from distfile_mirror.upstream.guard import Guard
from distfile_mirror.upstream.kept_wires import KeptWires
from distfile_mirror.upstream.routes import Route
from distfile_mirror.upstream.wire import Wire

DEFAULT_HEADERS = {
    "User-Agent": f"distfile-mirror/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class DirectConnections:
    """Connections without a proxy between, kept for the next request; of one event loop."""

    def __init__(self, tls: ssl.SSLContext, guard: Guard, connect_timeout: float) -> None:
        self._tls = tls
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._kept = KeptWires()
        self._wires: WeakSet[Wire] = WeakSet()

    async def ask(
        self,
        uri: FileUri,
        route: Route,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None,
        *,
        method: str = "GET",
    ) -> Exchange:
        """Ask for ``uri``; return when the head of the answer is there.

        Raises:
            OSError: as dial and Exchange.ask.
            ValueError: if ``headers`` cannot be sent.
        """
        request = _request(uri, headers, form, method)
        place = _place(uri, route)
        # A request that changes something must not be lost on a connection that the peer just closed (RFC 9110, 9.2.2).
        wire = self._kept.take(place) if form is None else None
        if wire is not None:
            exchange = self._exchange(wire, place)
            try:
                return await _asked(exchange, request)
            except OSError:
                if exchange.has_begun:
                    raise
        wire = Wire(await dial(place, self._tls, self._guard, self._connect_timeout))
        self._wires.add(wire)
        return await _asked(self._exchange(wire, place), request)

    def close(self) -> None:
        """Close all connections, whoever uses them."""
        self._kept.close()
        for wire in list(self._wires):
            wire.close()

    def _exchange(self, wire: Wire, place: Place) -> Exchange:
        def end(wire: Wire, is_reusable: bool) -> None:  # noqa: FBT001
            if is_reusable:
                self._kept.put(place, wire)
            else:
                wire.close()

        return Exchange(wire, end)


async def _asked(exchange: Exchange, request: bytes) -> Exchange:
    try:
        await exchange.ask(request)
    except BaseException:
        exchange.give_back()
        raise
    return exchange


def _place(uri: FileUri, route: Route) -> Place:
    there = route.there or uri.authority
    name = (route.server_name or uri.authority.host).strip("[]").rstrip(".")
    return Place(there.host, there.port, name if uri.scheme == "https" else None)


def _request(uri: FileUri, headers: Mapping[str, str], form: Mapping[str, str] | None, method: str) -> bytes:
    fields = {"Host": uri.authority.for_scheme(uri.scheme), **DEFAULT_HEADERS, **headers}
    if form is None:
        return write_request(method, uri.target, fields)
    content = urlencode(form).encode()
    return write_request("POST", uri.target, fields | _FORM | {"Content-Length": str(len(content))}, content)
