"""Making and keeping connections: TLS trust, the guard against private addresses, time limits."""

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self
from weakref import WeakSet

import aiohttp
from yarl import URL

from distfile_mirror import __version__
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.addresses import is_special
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.faults import connection_fault
from distfile_mirror.upstream.guard import (
    GuardedResolver,
    SocketFactory,
    SpecialAddressError,
    guarded_socket_factory,
    literal_address,
    plain_socket,
)
from distfile_mirror.upstream.routes import Route, environment_proxies, find_route
from distfile_mirror.upstream.settings import Head, UpstreamSettings

USER_AGENT = f"distfile-mirror/{__version__}"
# Of one body, in the process's memory: aiohttp stops reading at twice as much.
READ_AHEAD_BYTES = 1 << 19
KEEPALIVE_SECONDS = 15
TLS_READ_BYTES = 1 << 17
_CLOSING_ROUNDS = 3


def tls_context(settings: UpstreamSettings) -> ssl.SSLContext:
    """Trust what the system trusts (SSL_CERT_FILE and SSL_CERT_DIR are honoured), and ``upstream_ca`` too.

    Raises:
        MirrorError: if ``upstream_ca`` holds no certificates.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if settings.upstream_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.upstream_ca)
        except (OSError, ssl.SSLError) as error:
            raise MirrorError(
                f"upstream_ca: {settings.upstream_ca} cannot be read as PEM certificates: {error}"
            ) from None
    return context


def give_back(response: aiohttp.ClientResponse) -> None:
    """Keep the connection of ``response`` for the next request if its body has come whole, else cut it.

    Cut, not closed: TLS takes its leave politely, and waits for a hostile upstream to answer.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None and not response.content.is_eof():
        connection.transport.abort()
    response.release()


def _read_tls_in_fitting_pieces() -> None:
    """Let asyncio ask TLS for less at a time.

    It makes room for 256 KiB each time, and gets a record of 16 KiB: making and giving back the room took a
    tenth of the time of a large download. Half of it still reads eight records from the socket at once.
    """
    SSLProtocol.max_size = TLS_READ_BYTES


class Connections:
    """Connections to upstreams, kept for the next request. To be entered inside the loop that uses it.

    Those through a proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) are
    apart, since the proxy's own address is the operator's choice and may be a private one. What
    lies behind it is checked as far as it can be from here: a special address as the URI's host
    is refused, and so is a name that is special when looked up here; a name that only the proxy
    can look up is the proxy's affair.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._proxies: Mapping[str, str] = environment_proxies()
        self._tls = tls_context(settings)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def __aenter__(self) -> Self:
        _read_tls_in_fitting_pieces()
        allowed = self._settings.allow_network
        self._resolver = GuardedResolver(allowed)
        self._direct = self._session(
            aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE_SECONDS,
                ssl=self._tls,
                resolver=self._resolver,
                socket_factory=self._remembered(guarded_socket_factory(allowed)),
            )
        )
        self._proxied = self._session(
            aiohttp.TCPConnector(limit=0, ssl=self._tls, socket_factory=self._remembered(plain_socket))
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._direct.close()
        await self._proxied.close()
        await self._resolver.close()
        # TLS connections that aiohttp closed may still be waiting for the upstream's farewell.
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(_CLOSING_ROUNDS):
            await asyncio.sleep(0)

    async def ask(
        self, uri: FileUri, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[Head, aiohttp.ClientResponse]:
        """Ask for ``uri`` and return when the head of the answer is there; redirects are not followed.

        With a ``form`` it is a POST of that, else a GET. The caller closes the response, and says how
        long this may take: only connecting has a limit of its own.

        Raises:
            TransientFetchError: if no answer comes.
            PermanentFetchError: if it cannot come: a special address, a certificate that is not trusted.
        """
        route = find_route(uri, self._settings.connect_to, self._proxies)
        try:
            if route.proxy:
                await self._check_proxied(uri)
            response = await self._send(route, headers, form)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise connection_fault(uri, error, self._settings, proxy=route.proxy) from error
        return Head(response.status, response.reason or "", response.headers, str(uri)), response

    async def _send(
        self, route: Route, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> aiohttp.ClientResponse:
        session = self._proxied if route.proxy else self._direct
        return await session.request(
            "GET" if form is None else "POST",
            URL(route.url, encoded=True),
            data=form,
            headers={**headers, "Host": route.host} if route.host else headers,
            server_hostname=route.server_name,
            proxy=route.proxy,
            allow_redirects=False,
        )

    async def _check_proxied(self, uri: FileUri) -> None:
        host = uri.authority.host
        address = literal_address(host)
        if address is None:
            try:
                await self._resolver.resolve(host, uri.authority.port)
            except SpecialAddressError:
                raise
            except OSError:
                return  # only the proxy knows it
        elif is_special(address, self._settings.allow_network):
            raise SpecialAddressError(host, str(address))

    def _remembered(self, make: SocketFactory) -> SocketFactory:
        def make_and_remember(address_info: aiohttp.AddrInfoType) -> socket.socket:
            made = make(address_info)
            self._sockets.add(made)
            return made

        return make_and_remember

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            read_bufsize=READ_AHEAD_BYTES,
        )
