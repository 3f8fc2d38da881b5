"""Which address is connected to, with real sockets."""

import asyncio
import ipaddress
import socket
import ssl
import time
from functools import partial

import pytest

from distfile_mirror.upstream import dialing
from distfile_mirror.upstream.dialing import ConnectTimeoutError, Place, dial, first_to_answer
from distfile_mirror.upstream.guard import Guard, SpecialAddressError

LOOPBACK = Guard([ipaddress.ip_network("127.0.0.0/8")])
TLS = ssl.create_default_context()


def info(host, port):
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.2", 0)) as listener:
        yield listener


@pytest.fixture
def port(listener):
    return listener.getsockname()[1]


def connect_to(*addresses, guard=LOOPBACK):
    async def run():
        with await first_to_answer(addresses, partial(dialing._connect, guard)) as sock:
            return sock.getpeername()[0]

    return asyncio.run(run())


def test_next_address_after_a_refusal(port):
    begin = time.monotonic()
    assert connect_to(info("127.0.0.3", port), info("127.0.0.2", port)) == "127.0.0.2"
    assert time.monotonic() - begin < dialing.HEAD_START_SECONDS


def test_next_address_beside_a_slow_one(port):
    closed = []

    class Late(socket.socket):
        def close(self):
            closed.append(self)
            super().close()

    async def connect(address):
        if address == "slow":
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return Late()  # it had come about just then
        return await dialing._connect(LOOPBACK, info("127.0.0.2", port))

    async def run():
        with await first_to_answer(["slow", "quick"], connect) as sock:
            await asyncio.sleep(0.01)
            return sock.getpeername()[0]

    assert asyncio.run(run()) == "127.0.0.2"
    assert len(closed) == 1


def test_no_address_answers(port):
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.3"):
        connect_to(info("127.0.0.3", port), info("127.0.0.4", port))


def test_every_address_is_guarded(listener, port):
    with pytest.raises(SpecialAddressError):
        connect_to(info("127.0.0.2", port), guard=Guard([]))
    only_one = Guard([ipaddress.ip_network("127.0.0.2/32")])
    assert connect_to(info("127.0.0.3", port), info("127.0.0.2", port), guard=only_one) == "127.0.0.2"


def test_silent_peer_and_tls(port):
    with pytest.raises(ConnectTimeoutError):
        asyncio.run(dial(Place("127.0.0.2", port, "up.test"), TLS, LOOPBACK, 0.1))


def test_a_name_that_cannot_be():
    with pytest.raises(socket.gaierror, match="no name"):
        asyncio.run(LOOPBACK.look_up("a" * 64 + ".test", 80))


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "localhost"])
def test_special_addresses_are_not_looked_up(host):
    with pytest.raises(SpecialAddressError):
        asyncio.run(Guard([]).look_up(host, 80))
