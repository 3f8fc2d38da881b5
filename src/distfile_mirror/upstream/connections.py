"""Asking upstreams, directly or through a proxy: TLS trust, the guard against private addresses, plain errors."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from distfile_mirror.errors import MirrorError
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.bodies import Body
from distfile_mirror.upstream.direct import DirectConnections
from distfile_mirror.upstream.faults import connection_fault
from distfile_mirror.upstream.guard import Guard, SpecialAddressError
from distfile_mirror.upstream.routes import Route, environment_proxies, find_route
from distfile_mirror.upstream.settings import Head, UpstreamSettings

if TYPE_CHECKING:
    from distfile_mirror.upstream.proxied import ProxiedConnections


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
        self._guard = Guard(settings.allow_network)
        self._direct = DirectConnections(self._tls, self._guard, settings.connect_timeout)
        self._proxied: ProxiedConnections | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._direct.close()
        if self._proxied is not None:
            await self._proxied.close()

    async def ask(
        self,
        uri: FileUri,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
    ) -> tuple[Head, Body]:
        """Ask for ``uri`` and return when the head of the answer is there; redirects are not followed.

        With a ``form`` it is a POST of that, else ``method``: GET or HEAD. The caller gives the body back, and says how
        long this may take: only connecting has a limit of its own.

        Raises:
            TransientFetchError: if no answer comes.
            PermanentFetchError: if it cannot come: a special address, a certificate that is not trusted.
        """
        route = find_route(uri, self._settings.connect_to, self._proxies)
        try:
            if route.proxy:
                return await self._ask_proxy(uri, route, headers, form, method)
            exchange = await self._direct.ask(uri, route, headers, form, method=method)
        except (OSError, ValueError) as error:
            raise connection_fault(uri, error, self._settings, proxy=route.proxy) from error
        answer = exchange.answer
        return Head(answer.status, answer.reason, answer.headers, str(uri)), exchange

    async def _ask_proxy(
        self, uri: FileUri, route: Route, headers: Mapping[str, str], form: Mapping[str, str] | None, method: str
    ) -> tuple[Head, Body]:
        from distfile_mirror.upstream.proxied import ProxiedConnections  # noqa: PLC0415 - slow, and few need it

        try:
            await self._guard.look_up(uri.authority.host, uri.authority.port)
        except SpecialAddressError:
            raise
        except OSError:
            pass  # only the proxy knows it
        if self._proxied is None:
            self._proxied = ProxiedConnections(self._tls, self._settings.connect_timeout)
        return await self._proxied.ask(uri, route, headers, form, method=method)
