"""What went wrong on the way to an upstream, as our two kinds of error, in plain words."""

import socket
import ssl
from urllib.parse import urlsplit

import aiohttp

from distfile_mirror.errors import MirrorError, PermanentFetchError, TransientFetchError
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.answers import NotHttpError
from distfile_mirror.upstream.dialing import ConnectTimeoutError
from distfile_mirror.upstream.exchange import NoAnswerError
from distfile_mirror.upstream.guard import SpecialAddressError
from distfile_mirror.upstream.settings import UpstreamSettings
from distfile_mirror.upstream.statuses import one_line


def connection_fault(uri: FileUri, error: Exception, settings: UpstreamSettings, *, proxy: str | None) -> MirrorError:
    """Translate what the system, we or (through a ``proxy``) aiohttp raised before an answer to ``uri`` was there."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    via = f" through the proxy {_host_and_port(proxy)}" if proxy else ""
    if isinstance(cause, SpecialAddressError):
        return PermanentFetchError(f"{uri} is not asked: {cause.reason}")
    certificate = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else cause
    if isinstance(certificate, ssl.CertificateError):
        return PermanentFetchError(
            f"{uri}{via}: the certificate of {uri.authority.host} is not trusted "
            f"({one_line(certificate.verify_message or str(certificate))}); if its CA is one of your own, "
            "name the CA's PEM file by the setting upstream_ca (--upstream-ca)"
        )
    if isinstance(error, aiohttp.InvalidURL):
        return PermanentFetchError(f"{uri} cannot be asked for: {one_line(str(error))}")
    return TransientFetchError(f"{uri}{via}: {_passing_fault(uri, error, cause, settings, proxy)}")


def _passing_fault(
    uri: FileUri, error: Exception, cause: BaseException, settings: UpstreamSettings, proxy: str | None
) -> str:
    host = _host_and_port(proxy) if proxy else uri.authority.host
    both = settings.connect_timeout + settings.stall_timeout
    # The first kind that fits; those that are kinds of another one come before it.
    too_slow = f"{host} could not be connected to in {settings.connect_timeout:g} s"
    sayings: list[tuple[BaseException, type[BaseException], str]] = [
        (error, ConnectTimeoutError, too_slow),
        (error, aiohttp.ConnectionTimeoutError, too_slow),
        (error, TimeoutError, f"{host} did not answer within {both:g} s"),
        (error, aiohttp.ClientConnectorDNSError, f"the name {host} cannot be looked up ({_text(cause)})"),
        (cause, socket.gaierror, f"the name {host} cannot be looked up ({_text(cause)})"),
        (error, aiohttp.ClientHttpProxyError, f"the proxy answered {getattr(error, 'status', '')} {_text(error)}"),
        (cause, ssl.SSLError, f"no TLS connection to {uri.authority.host} ({_text(cause)})"),
        (cause, ConnectionRefusedError, f"{host} refuses the connection"),
        (error, NoAnswerError, f"{host} closed the connection without an answer"),
        (error, NotHttpError, f"{host} answered with what is not HTTP ({_text(error)})"),
        (error, aiohttp.ServerDisconnectedError, f"{host} closed the connection without an answer"),
        (error, aiohttp.ClientResponseError, f"{host} answered with what is not HTTP ({_text(error)})"),
        (error, Exception, f"no connection to {host} ({_text(cause)})"),
    ]
    return next(saying for found, kind, saying in sayings if isinstance(found, kind))


def _text(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return one_line(str(text) or type(error).__name__)


def _host_and_port(proxy: str | None) -> str:
    # Never the whole of it: there may be a password inside.
    return urlsplit(proxy or "").netloc.rpartition("@")[2]
