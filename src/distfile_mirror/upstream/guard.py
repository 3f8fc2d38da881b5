"""Keeping downloads out of private networks: people name the URLs, and the server may reach more than they do.

What counts is the address that is really connected to, on every redirect hop, so it is checked
where the socket is made; the name's look-up only weeds out early what would be refused there.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from distfile_mirror.model.addresses import IPAddress, IPNetwork, is_special

SocketFactory = Callable[[AddrInfoType], socket.socket]


class SpecialAddressError(OSError):
    """An address that downloads may not reach. It passes through aiohttp, which knows only OSError."""

    def __init__(self, host: str, address: str) -> None:
        self.reason = refusal(host, address)
        super().__init__(None, self.reason)


def refusal(host: str, address: str) -> str:
    """Say why ``host``, which is at ``address``, is not asked."""
    what = address if host.strip("[]") == address else f"{host} is at {address}, which"
    return (
        f"{what} is not on the public Internet, and downloads do not go elsewhere; "
        "if it is meant, allow its network by the setting allow_network (--allow-network)"
    )


class GuardedResolver(AbstractResolver):
    """Looks names up, and leaves out the addresses that are special and not ``allowed``."""

    def __init__(self, allowed: Iterable[IPNetwork]) -> None:
        self._allowed = tuple(allowed)
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See AbstractResolver. Raises SpecialAddressError if nothing remains."""
        try:
            found = await self._inner.resolve(host, port, family)
        except UnicodeError:
            raise OSError(None, "no name that can be looked up") from None
        usable = [result for result in found if not is_special(ipaddress.ip_address(result["host"]), self._allowed)]
        if found and not usable:
            raise SpecialAddressError(host, found[0]["host"])
        return usable

    async def close(self) -> None:
        """See AbstractResolver."""
        await self._inner.close()


def plain_socket(address_info: AddrInfoType) -> socket.socket:
    """Make a socket for whatever address."""
    family, kind, protocol, _name, _address = address_info
    return socket.socket(family, kind, protocol)


def guarded_socket_factory(allowed: Iterable[IPNetwork]) -> SocketFactory:
    """Return aiohttp's ``socket_factory`` that refuses special addresses, however they were come by."""
    networks = tuple(allowed)

    def make(address_info: AddrInfoType) -> socket.socket:
        host = str(address_info[4][0])
        if is_special(ipaddress.ip_address(host), networks):
            raise SpecialAddressError(host, host)
        return plain_socket(address_info)

    return make


def literal_address(host: str) -> IPAddress | None:
    """Return the address that ``host`` (IPv6 in brackets or not) is, or None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
