"""Keeping downloads out of private networks: people name the URLs, and the server may reach more than they do.

What counts is the address that is really connected to, on every redirect hop, so it is checked
where the socket is made; the name's look-up only weeds out early what would be refused there.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from distfile_mirror.model.addresses import IPAddress, IPNetwork, is_special

# As socket.getaddrinfo has it: family, type, protocol, canonical name, address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


class SpecialAddressError(OSError):
    """An address that downloads may not reach; ``reason`` says so."""

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


class Guard:
    """Lets through the addresses that are on the public Internet, and those in ``allowed``."""

    def __init__(self, allowed: Iterable[IPNetwork]) -> None:
        self._allowed = tuple(allowed)

    def check(self, address: str) -> None:
        """Return if ``address`` may be connected to. Raises SpecialAddressError."""
        if self._is_special(address):
            raise SpecialAddressError(address, address)

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """Return the addresses of ``host``, a name or an address, that may be connected to, best first.

        Raises:
            SpecialAddressError: if it has only others.
            socket.gaierror: if it cannot be looked up.
        """
        found = await _addresses(host, port)
        usable = [info for info in found if not self._is_special(info[4][0])]
        if found and not usable:
            raise SpecialAddressError(host, found[0][4][0])
        return usable

    def _is_special(self, address: str) -> bool:
        return is_special(ipaddress.ip_address(address), self._allowed)


def literal_address(host: str) -> IPAddress | None:
    """Return the address that ``host`` (IPv6 in brackets or not) is, or None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


async def _addresses(host: str, port: int) -> list[AddressInfo]:
    literal = literal_address(host)
    if literal is not None:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6  # noqa: PLR2004
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(literal), port))]
    loop = asyncio.get_running_loop()
    try:
        return list(
            await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_ADDRCONFIG
            )
        )
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no name that can be looked up") from None
