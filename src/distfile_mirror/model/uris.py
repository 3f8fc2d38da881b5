"""The URI of a file: the key under which it is declared, stored and served.

One rule for declarations and for requests, so that both come to the same key: scheme and host in
lower case, IDNA, the default port and the fragment dropped, an empty path made ``/``; path and
query kept to the letter (RFC 3986, 6.2.2.1 and 6.2.3). Characters outside ASCII become
percent-encoded UTF-8, as RFC 3987, 3.1 has it, since that is what travels on the wire.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URI_BYTES = 8192
MAX_PORT = 65535

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?")
# Underscores are not allowed in host names, and in use.
_ASCII_HOST = re.compile(r"(?=.{1,254}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f]")


class Authority(NamedTuple):
    """A host (lower case; IPv6 in brackets) and a port."""

    host: str
    port: int

    def for_scheme(self, scheme: str) -> str:
        """Write it as an authority of ``scheme``, the default port left out."""
        return self.host if DEFAULT_PORTS[scheme] == self.port else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class FileUri:
    """A normalised http(s) URI. ``target`` is path and query as they go into a request line."""

    scheme: str
    authority: Authority
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority.for_scheme(self.scheme)}{self.target}"

    @property
    def basename(self) -> str:
        """The last segment of the path, which is what people call the file; may be empty."""
        return self.target.partition("?")[0].rpartition("/")[2]


def parse_file_uri(text: str) -> FileUri:
    """Normalise the URI of a file.

    Raises:
        ValueError: saying what is wrong with ``text`` and what to do.
    """
    text = text.strip()
    match = _URI.fullmatch(text)
    if not match:
        message = f"{text!r} is not an absolute URI; write it whole, as in https://example.org/foo-1.2.tar.gz"
        raise ValueError(message)
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        message = f"{scheme!r} is not supported: files are fetched by http and https"
        raise ValueError(message)
    if "@" in match["authority"]:
        message = (
            "the URI carries credentials; leave them out, everybody who may see the catalog would see them, "
            "and builds ask for the URI without them"
        )
        raise ValueError(message)
    authority = parse_authority(match["authority"], default_port=DEFAULT_PORTS[scheme])
    uri = FileUri(scheme, authority, normalise_target(match["rest"]))
    if len(str(uri)) > MAX_URI_BYTES:
        message = f"the URI has {len(str(uri))} bytes; at most {MAX_URI_BYTES} are possible"
        raise ValueError(message)
    return uri


def normalise_target(text: str) -> str:
    """Make path and query out of what follows the authority.

    Raises:
        ValueError: for white space and control characters, which no request line can carry.
    """
    if found := _FORBIDDEN.search(text):
        message = f"the URI has the character {found[0]!r} in it; write it as {quote(found[0])}"
        raise ValueError(message)
    if not text.startswith("/"):
        text = "/" + text
    return text if text.isascii() else quote(text, safe="".join(map(chr, range(0x21, 0x7F))))


def parse_authority(text: str, *, default_port: int | None = None) -> Authority:
    """Read ``host``, ``host:port``, ``[IPv6]`` or ``[IPv6]:port``.

    Raises:
        ValueError: for a host or a port that cannot be, or a port missing with no default.
    """
    match = _AUTHORITY.fullmatch(text)
    if not match or not match["host"]:
        message = f"{text!r} names no host"
        raise ValueError(message)
    if match["port"]:
        port = int(match["port"]) if len(match["port"]) <= 5 else MAX_PORT + 1  # noqa: PLR2004
    elif default_port is None:
        message = f"{text!r} names no port"
        raise ValueError(message)
    else:
        port = default_port
    if not 0 < port <= MAX_PORT:
        message = f"{text!r} has a port that is not between 1 and {MAX_PORT}"
        raise ValueError(message)
    return Authority(normalise_host(match["host"]), port)


def normalise_host(text: str) -> str:
    """Bring a host to lower-case ASCII; an IPv6 address keeps its brackets.

    Raises:
        ValueError: for what is neither a name nor an address.
    """
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1])}]"
        except ValueError:
            message = f"{text!r} is not an IPv6 address"
            raise ValueError(message) from None
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            message = f"{text!r} is not an internationalised host name: {error}"
            raise ValueError(message) from None
    if not _ASCII_HOST.fullmatch(host):
        message = f"{text!r} is not a host name"
        raise ValueError(message)
    return host


def uri_key(uri: str) -> bytes:
    """Return the 32 bytes by which a normalised URI is looked up, whatever its length."""
    return hashlib.sha256(uri.encode("utf-8", "surrogateescape")).digest()
