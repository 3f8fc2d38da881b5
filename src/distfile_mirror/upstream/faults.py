"""What went wrong on the way to an upstream, as our two kinds of error, in plain words."""

import socket
import ssl
from urllib.parse import urlsplit

from distfile_mirror.errors import MirrorError, PermanentFetchError, TransientFetchError
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.answers import NotHttpError
from distfile_mirror.upstream.dialing import ConnectTimeoutError
from distfile_mirror.upstream.exchange import NoAnswerError
from distfile_mirror.upstream.guard import SpecialAddressError
from distfile_mirror.upstream.settings import UpstreamSettings
from distfile_mirror.upstream.statuses import one_line


class ProxyRefusedError(OSError):
    """The proxy of the environment answered itself, in place of the upstream; ``strerror``: its status and reason."""

    def __init__(self, answer: str) -> None:
        super().__init__(None, answer)


class InvalidAddressError(ValueError):
    """What asks through a proxy cannot ask for such an address at all."""


def connection_fault(uri: FileUri, error: Exception, settings: UpstreamSettings, *, proxy: str | None) -> MirrorError:
    """Translate what the system or we raised before an answer to ``uri`` was there, through a ``proxy`` perhaps."""
    via = f" through the proxy {_host_and_port(proxy)}" if proxy else ""
    if isinstance(error, SpecialAddressError):
        return PermanentFetchError(f"{uri} is not asked: {error.reason}")
    if isinstance(error, ssl.CertificateError):
        return PermanentFetchError(
            f"{uri}{via}: the certificate of {uri.authority.host} is not trusted "
            f"({one_line(error.verify_message or str(error))}); if its CA is one of your own, "
            "name the CA's PEM file by the setting upstream_ca (--upstream-ca)"
        )
    if isinstance(error, InvalidAddressError):
        return PermanentFetchError(f"{uri} cannot be asked for: {one_line(str(error))}")
    return TransientFetchError(f"{uri}{via}: {_passing_fault(uri, error, settings, proxy)}")


def _passing_fault(uri: FileUri, error: Exception, settings: UpstreamSettings, proxy: str | None) -> str:
    host = _host_and_port(proxy) if proxy else uri.authority.host
    both = settings.connect_timeout + settings.stall_timeout
    # The first kind that fits; those that are kinds of another one come before it.
    sayings: list[tuple[type[Exception], str]] = [
        (ConnectTimeoutError, f"{host} could not be connected to in {settings.connect_timeout:g} s"),
        (TimeoutError, f"{host} did not answer within {both:g} s"),
        (socket.gaierror, f"the name {host} cannot be looked up ({_text(error)})"),
        (ProxyRefusedError, f"the proxy answered {_text(error)}"),
        (ssl.SSLError, f"no TLS connection to {uri.authority.host} ({_text(error)})"),
        (ConnectionRefusedError, f"{host} refuses the connection"),
        (NoAnswerError, f"{host} closed the connection without an answer"),
        (NotHttpError, f"{host} answered with what is not HTTP ({_text(error)})"),
        (Exception, f"no connection to {host} ({_text(error)})"),
    ]
    return next(saying for kind, saying in sayings if isinstance(error, kind))


def _text(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return one_line(str(text) or type(error).__name__)


def _host_and_port(proxy: str | None) -> str:
    # Never the whole of it: there may be a password inside.
    return urlsplit(proxy or "").netloc.rpartition("@")[2]
