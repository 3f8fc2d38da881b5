"""Asking upstreams through a proxy of the environment: by aiohttp, which speaks to them all."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from weakref import WeakSet

import aiohttp
from yarl import URL

from distfile_mirror.upstream.bodies import CutBodyError
from distfile_mirror.upstream.direct import DEFAULT_HEADERS
from distfile_mirror.upstream.routes import Route

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
        self, route: Route, headers: Mapping[str, str], form: Mapping[str, str] | None, *, method: str = "GET"
    ) -> aiohttp.ClientResponse:
        """Ask by ``route``. Raises aiohttp.ClientError, OSError, ValueError."""
        return await self._session.request(
            method if form is None else "POST",
            URL(route.url, encoded=True),
            data=form,
            headers=headers,
            proxy=route.proxy,
            allow_redirects=False,
        )

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
