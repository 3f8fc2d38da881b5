"""Addresses as people write them in settings, and which addresses an upstream may not have."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from distfile_mirror.model.uris import MAX_PORT, normalise_host

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# From the IANA registries of special-purpose addresses (RFC 6890), not from the ipaddress module: what that
# calls global differs between patch releases of Python, and a guard must not.
_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
# All of IPv6 that is on the Internet is in here, less what is special in it.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
# These carry an IPv4 address inside: what counts is the address that is reached.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens. ``host``: a name or an address, IPv6 without brackets; port 0: any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def for_clients(self) -> "ListenAddress":
        """The address for a client on this machine: of a wildcard, the loopback address."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        return ListenAddress(loopback.get(self.host, self.host), self.port)


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """Connect to ``to_host:to_port`` instead of ``host:port``. An empty part matches all, or is left as it is."""

    host: str
    port: int | None
    to_host: str
    to_port: int | None

    def __str__(self) -> str:
        return ":".join(str(part or "") for part in (self.host, self.port, self.to_host, self.to_port))

    def matches(self, host: str, port: int) -> bool:
        """Tell whether it is about ``host:port`` (host normalised)."""
        return self.host in {"", host} and self.port in {None, port}


def parse_listen_address(text: str) -> ListenAddress:
    """Read ``HOST:PORT`` or ``[IPv6]:PORT``. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > MAX_PORT or not host:
        message = f"{text!r} is not HOST:PORT, such as 127.0.0.1:3128"
        raise ValueError(message)
    return ListenAddress(normalise_host(host).strip("[]"), int(port))


def parse_connect_to(text: str) -> ConnectTo:
    """Read ``HOST:PORT:ADDR:PORT``, curl's --connect-to. Raises ValueError."""
    parts = _split_colons(text.strip())
    if len(parts) != 4:  # noqa: PLR2004
        message = f"{text!r} is not HOST:PORT:ADDR:PORT, such as example.org:443:127.0.0.1:8443"
        raise ValueError(message)
    host, port, to_host, to_port = parts
    return ConnectTo(_host_or_empty(host), _port_or_none(port), _host_or_empty(to_host), _port_or_none(to_port))


def is_special(address: IPAddress, allowed: Iterable[IPNetwork]) -> bool:
    """Tell whether ``address`` is not on the public Internet, and in none of the ``allowed`` networks.

    Special are private, loopback, link-local, multicast, reserved and unspecified addresses (the
    IANA special-purpose registries, RFC 6890), also when they come inside an IPv6 address.
    """
    if any(address.version == network.version and address in network for network in allowed):
        return False
    inner = _inner(address)
    if inner is not None:
        return is_special(inner, allowed)
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _SPECIAL_V4)
    return address not in _GLOBAL_V6 or any(address in network for network in _SPECIAL_V6)


def _inner(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _split_colons(text: str) -> list[str]:
    parts, depth, part = [], 0, ""
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == ":" and not depth:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def _host_or_empty(text: str) -> str:
    return normalise_host(text) if text else ""


def _port_or_none(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) <= MAX_PORT:
        message = f"{text!r} is not a port"
        raise ValueError(message)
    return int(text)
