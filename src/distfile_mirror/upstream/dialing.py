"""Making a connection: the name's addresses in their order, the guard at each, TLS at the one that answers first."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from distfile_mirror.upstream.guard import AddressInfo, Guard
from distfile_mirror.upstream.wire import readable, writable

# Before the next address is tried beside one that does not answer (RFC 8305, 8: Connection Attempt Delay).
HEAD_START_SECONDS = 0.25


class ConnectTimeoutError(TimeoutError):
    """There was no connection within the time for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: ``host`` is a name or an address (IPv6 in brackets). ``server_name``: for TLS, None without."""

    host: str
    port: int
    server_name: str | None


async def dial(place: Place, tls: ssl.SSLContext, guard: Guard, seconds: float) -> socket.socket:
    """Connect, and agree on TLS if ``place`` has it; the socket does not block.

    Raises:
        SpecialAddressError: if the guard lets none of the addresses through.
        ConnectTimeoutError: if all of it takes longer than so many seconds.
        OSError: if it does not work: gaierror, SSLError, ConnectionError.
    """
    try:
        async with asyncio.timeout(seconds) as clock:
            addresses = await guard.look_up(place.host, place.port)
            sock = await first_to_answer(addresses, partial(_connect, guard))
            return sock if place.server_name is None else await _agree_on_tls(sock, tls, place.server_name)
    except TimeoutError as error:
        if clock.expired():
            raise ConnectTimeoutError from error
        raise


async def first_to_answer(
    addresses: Sequence[AddressInfo], connect: Callable[[AddressInfo], Awaitable[socket.socket]]
) -> socket.socket:
    """Return what ``connect`` gives for the first address that works; the next one is begun when one fails or is slow.

    Raises:
        OSError: that of the first address, if none works.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    left = list(addresses)
    errors: list[BaseException] = []
    attempts: set[asyncio.Future[socket.socket]] = set()
    try:
        while left or attempts:
            if left:
                attempts.add(asyncio.ensure_future(connect(left.pop(0))))
            patience = HEAD_START_SECONDS if left else None
            done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                errors.append(error)
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close_late)
            attempt.cancel()
    raise errors[0] if errors else OSError(None, "it has no address")


def _close_late(attempt: "asyncio.Future[socket.socket]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(guard: Guard, address: AddressInfo) -> socket.socket:
    family, kind, protocol, _name, where = address
    guard.check(where[0])
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _agree_on_tls(sock: socket.socket, tls: ssl.SSLContext, server_name: str) -> ssl.SSLSocket:
    try:
        secure = tls.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                await readable(secure)
            except ssl.SSLWantWriteError:
                await writable(secure)
            else:
                return secure
    except BaseException:
        secure.close()
        raise
