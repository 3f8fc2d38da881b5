"""Chooses the certificate of a connection: by the CONNECT target and by the name that the client asks for.

What is cached is there at once; a new certificate for a CONNECT target is made in a thread. Where only
the handshake tells the name (SNI), it is made on the spot.
"""

import ssl
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from distfile_mirror.authority.leaves import LeafIssuer
from distfile_mirror.errors import MirrorError, UnavailableError
from distfile_mirror.model.uris import normalise_host

log = structlog.get_logger()


class MirrorSocket(ssl.SSLSocket):
    """A TLS socket that remembers the name that its client asked for (SNI)."""

    requested_name: str = ""


class Certificates:
    """TLS contexts for connections of one worker.

    ``own_name``: what a client gets that comes straight to the port and asks for no name.
    """

    def __init__(
        self, issuer: LeafIssuer, *, own_name: str, executor: Executor, call_soon: Callable[..., object]
    ) -> None:
        self._issuer = issuer
        self._issued_before = 0
        self._own_name = own_name
        self._executor = executor
        self._call_soon = call_soon

    @property
    def issued(self) -> int:
        """How many certificates were made."""
        return self._issued_before + self._issuer.issued

    def use(self, issuer: LeafIssuer) -> None:
        """Let ``issuer`` sign from now on; connections that there are go on as they are."""
        self._issued_before = self.issued
        self._issuer = issuer

    def direct_context(self) -> ssl.SSLContext:
        """Return the context for TLS straight on the port."""
        return self._with_names(self._issuer.context_for((self._own_name,)), "")

    def tunnel_context(self, host: str, then: Callable[[ssl.SSLContext | MirrorError], object]) -> None:
        """Call ``then`` with the context for a tunnel to ``host``, at once if it is cached."""
        name = host.strip("[]")
        context = self._issuer.cached((name,))
        if context is not None:
            then(self._with_names(context, name))
        else:
            self._executor.submit(self._make, name, then)

    def _make(self, name: str, then: Callable[[ssl.SSLContext | MirrorError], object]) -> None:
        result: ssl.SSLContext | MirrorError
        try:
            result = self._with_names(self._issuer.context_for((name,)), name)
        except Exception:
            log.exception("making a certificate failed", host=name)
            result = UnavailableError("making a certificate failed; the log of the proxy says why")
        self._call_soon(then, result)

    def _with_names(self, context: ssl.SSLContext, name: str) -> ssl.SSLContext:
        """Let the handshake switch to a certificate that has the name asked for, too."""
        if context.sslsocket_class is not MirrorSocket:
            context.sslsocket_class = MirrorSocket
            context.sni_callback = lambda sock, asked, _context: self._on_name(sock, asked, name)
        return context

    def _on_name(self, sock: ssl.SSLObject | ssl.SSLSocket, asked: str | None, name: str) -> int | None:
        if not asked or asked == name or not isinstance(sock, MirrorSocket):
            return None
        try:
            host = normalise_host(asked)
            sock.requested_name = host
            if host != name:
                sock.context = self._issuer.context_for((host, name) if name else (host,))
        except ValueError:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        except Exception:
            log.exception("making a certificate failed", host=asked)
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None
