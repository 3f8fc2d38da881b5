"""Asking upstreams through a proxy of the environment: by aiohttp, which speaks to them all."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import aiohttp
from yarl import URL

from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.answers import NotHttpError
from distfile_mirror.upstream.bodies import Body, CutBodyError
from distfile_mirror.upstream.dialing import ConnectTimeoutError
from distfile_mirror.upstream.direct import DEFAULT_HEADERS
from distfile_mirror.upstream.exchange import NoAnswerError
from distfile_mirror.upstream.faults import InvalidAddressError, ProxyRefusedError
from distfile_mirror.upstream.routes import Route
from distfile_mirror.upstream.settings import Head

# Of one body, in the process's memory: aiohttp stops reading at twice as much.
READ_AHEAD_BYTES = 1 << 19
_CLOSING_ROUNDS = 3


class ProxiedConnections:
    """Connections through proxies, kept for the next request. To be made inside the loop that uses it.

    The proxy's own address is the operator's choice and may be a private one: no guard looks at it.
    """

    def __init__(self, tls: ssl.SSLContext, connect_timeout: float) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls, socket_factory=self._make_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=DEFAULT_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
            read_bufsize=READ_AHEAD_BYTES,
        )

    async def ask(
        self,
        uri: FileUri,
        route: Route,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None,
        *,
        method: str = "GET",
    ) -> tuple[Head, Body]:
        """Ask for ``uri`` by ``route``. Raises OSError, ValueError: the same as without a proxy."""
        try:
            response = await self._session.request(
                method if form is None else "POST",
                URL(route.url, encoded=True),
                data=form,
                headers=headers,
                proxy=route.proxy,
                allow_redirects=False,
            )
        except aiohttp.ClientError as error:
            raise _as_ours(error) from error
        return Head(response.status, response.reason or "", response.headers, str(uri)), ProxiedBody(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        # TLS connections that aiohttp closed may still be waiting for the upstream's farewell.
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(_CLOSING_ROUNDS):
            await asyncio.sleep(0)

    def _make_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _name, _address = address_info
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made


class ProxiedBody:
    """The Body of ``response``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        """See Body.read."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise CutBodyError(str(error)) from error

    def give_back(self) -> None:
        """See Body.give_back. Cut, not closed: TLS takes its leave politely, and waits for the other side's."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None and not self._response.content.is_eof():
            connection.transport.abort()
        self._response.release()


_OURS: Sequence[tuple[type[Exception], Callable[[Any], Exception]]] = (
    # The first kind that fits; those that are kinds of another one come before it.
    (aiohttp.ClientConnectorCertificateError, lambda error: error.certificate_error),
    (aiohttp.ConnectionTimeoutError, lambda _error: ConnectTimeoutError()),
    (aiohttp.ClientConnectorDNSError, lambda error: socket.gaierror(None, error.os_error.strerror)),
    (aiohttp.ClientConnectorError, lambda error: error.os_error),
    (aiohttp.ClientHttpProxyError, lambda error: ProxyRefusedError(f"{error.status} {error.message}")),
    (aiohttp.ServerDisconnectedError, lambda _error: NoAnswerError()),
    (aiohttp.ClientResponseError, lambda error: NotHttpError(error.message)),
    (aiohttp.InvalidURL, lambda error: InvalidAddressError(str(error))),
    (OSError, lambda error: error),
    (aiohttp.ClientError, lambda error: OSError(None, str(error))),
)


def _as_ours(error: aiohttp.ClientError) -> Exception:
    """Return what would have been raised without a proxy."""
    return next(ours(error) for kind, ours in _OURS if isinstance(error, kind))
