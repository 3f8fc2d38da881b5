"""Conversations with real servers over real sockets, TLS and plain."""

import asyncio
import ipaddress
import os
import random
import socket
import ssl
import time
from contextlib import suppress

import pytest

from distfile_mirror.model.addresses import ConnectTo
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.answers import NotHttpError
from distfile_mirror.upstream.bodies import CutBodyError
from distfile_mirror.upstream.direct import DirectConnections
from distfile_mirror.upstream.exchange import PIECE_BYTES, NoAnswerError
from distfile_mirror.upstream.guard import Guard
from distfile_mirror.upstream.routes import find_route
from tests.upstream_server import TestAuthority, UpstreamServer

BODY = random.Random(1).randbytes(1_500_000)
GUARD = Guard([ipaddress.ip_network("127.0.0.0/8")])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=["https", "http"])
def server(request, authority):
    tls = authority.server_context("up.test") if request.param == "https" else None
    with UpstreamServer(tls=tls) as server:
        yield server


class Client:
    """Asks one server."""

    def __init__(self, server, authority):
        self._scheme = "https" if server.tls else "http"
        self._rules = [ConnectTo("", None, "127.0.0.1", server.port)]
        self._connections = DirectConnections(ssl.create_default_context(cafile=authority.ca_file), GUARD, 5)

    async def ask(self, target="/x", headers=(), form=None):
        uri = parse_file_uri(f"{self._scheme}://up.test{target}")
        return await self._connections.ask(uri, find_route(uri, self._rules, {}), dict(headers), form)

    async def get(self, target="/x", **more):
        exchange = await self.ask(target, **more)
        try:
            return b"".join([bytes(piece) async for piece in pieces(exchange)])
        finally:
            exchange.give_back()

    def close(self):
        self._connections.close()


async def pieces(exchange):
    while piece := await exchange.read():
        yield piece


@pytest.fixture
def run(server, authority):
    """Run a scenario with a client, and see that it leaves nothing open."""

    def run(scenario):
        async def whole():
            client = Client(server, authority)
            try:
                return await scenario(client)
            finally:
                client.close()

        before = descriptors()
        result = asyncio.run(whole())
        deadline = time.monotonic() + 5
        while left_open(server, before) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not left_open(server, before)
        return result

    return run


def descriptors():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def left_open(server, before):
    """Return new descriptors that lead to ``server``: others are of threads that other tests have left."""
    return {(name, link) for name, link in descriptors() - before if leads_to(int(name), server.port)}


def leads_to(fd, port):
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            return copy.getpeername()[1] == port
    except OSError:  # no socket, or one that is not connected
        return False


def answers(server, *ways):
    """Answer each request to /x in the next of these ways; return the ports they came from."""
    seen = []

    def handle(exchange):
        seen.append(exchange.connection.getpeername()[1])
        ways[min(len(seen), len(ways)) - 1](exchange)

    server.routes["/x"] = handle
    return seen


def whole(exchange):
    exchange.respond(BODY)


def test_connection_is_kept(server, run):
    seen = answers(server, whole)

    async def scenario(client):
        for _ in range(4):
            assert await client.get() == BODY
        assert await asyncio.gather(*(client.get() for _ in range(3))) == [BODY] * 3

    run(scenario)
    assert len(seen) == 7
    assert len(set(seen)) == 3
    assert len(set(seen[:4])) == 1


def test_pieces_are_large(server, run):
    answers(server, whole)

    async def scenario(client):
        exchange = await client.ask()
        sizes = [len(piece) async for piece in pieces(exchange)]
        exchange.give_back()
        return sizes

    sizes = run(scenario)
    assert sum(sizes) == len(BODY)
    assert max(sizes) == PIECE_BYTES
    assert len(sizes) < 20


def test_stale_connection_is_replaced(server, run):
    def last(exchange):
        exchange.respond(BODY)
        exchange.close()

    seen = answers(server, last, whole)

    async def scenario(client):
        assert await client.get() == BODY
        await asyncio.sleep(0.1)
        assert await client.get() == BODY

    run(scenario)
    assert len(set(seen)) == 2


def test_connection_that_ends_under_the_next_request(server, run):
    seen = answers(server, whole, lambda exchange: exchange.close(), whole)

    async def scenario(client):
        assert await client.get() == BODY
        assert await client.get() == BODY

    run(scenario)
    assert seen[0] == seen[1] != seen[2]


def test_a_fresh_connection_without_an_answer_is_not_replaced(server, run):
    seen = answers(server, lambda exchange: exchange.close())

    async def scenario(client):
        with pytest.raises((NoAnswerError, OSError)):
            await client.get()

    run(scenario)
    assert len(seen) == 1


def test_a_form_goes_on_a_connection_of_its_own(server, run):
    seen = answers(server, whole)

    async def scenario(client):
        assert await client.get() == BODY
        assert await client.get(form={"a b": "c&d", "e": "ä"}) == BODY

    run(scenario)
    assert len(set(seen)) == 2
    request = server.requests[1]
    assert request.method == "POST"
    assert request.body == b"a+b=c%26d&e=%C3%A4"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("pause", [0, 0.05])
def test_what_follows_the_body_is_no_answer(server, run, pause):
    def more(exchange):
        exchange.respond(b"short")
        time.sleep(pause)
        with suppress(OSError):
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    seen = answers(server, more, lambda exchange: exchange.respond(b"second"))

    async def scenario(client):
        assert await client.get() == b"short"
        await asyncio.sleep(0.2)
        assert await client.get() == b"second"

    run(scenario)
    assert len(set(seen)) == 2


def test_interim_answers(server, run):
    def handle(exchange):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        time.sleep(0.05)
        exchange.respond(b"body")

    answers(server, handle)

    async def scenario(client):
        exchange = await client.ask()
        assert exchange.answer.status == 200
        assert "Link" not in exchange.answer.headers
        assert await exchange.read() == b"body"
        exchange.give_back()

    run(scenario)


def test_byte_by_byte(server, run):
    def handle(exchange):
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nA: b\r\n\r\n":
            exchange.send(bytes([byte]))
            time.sleep(0.0005)

    seen = answers(server, handle, whole)

    async def scenario(client):
        assert await client.get() == b"body"
        assert await client.get() == BODY

    run(scenario)
    assert len(set(seen)) == 1


def test_chunks(server, run):
    def handle(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        rest = BODY
        for size in [1, 2, 3, 16383, 16384, 16385, 70000, len(BODY)]:
            chunk, rest = rest[:size], rest[size:]
            exchange.send(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunk else b"")
        exchange.send(b"0\r\n\r\n")

    seen = answers(server, handle)

    async def scenario(client):
        for _ in range(2):
            assert await client.get() == BODY

    run(scenario)
    assert len(set(seen)) == 1


@pytest.mark.parametrize("politely", [True, False])
def test_body_that_ends_with_the_connection(server, run, politely):
    def handle(exchange):
        exchange.respond(BODY, announce=False)
        if politely and isinstance(exchange.connection, ssl.SSLSocket):
            with suppress(OSError):
                exchange.connection.unwrap()

    seen = answers(server, handle)

    async def scenario(client):
        for _ in range(2):
            assert await client.get() == BODY

    run(scenario)
    assert len(set(seen)) == 2


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("fields", [{"Content-Length": 2_000_000}, {"Transfer-Encoding": "chunked"}])
def test_cut(server, run, end, fields):
    def handle(exchange):
        exchange.head(headers=fields)
        exchange.send((b"" if "Content-Length" in fields else b"1e8480\r\n") + BODY[:700_001])
        time.sleep(0.2)  # a reset overtakes what was sent before it
        getattr(exchange, end)()

    answers(server, handle)

    async def scenario(client):
        exchange = await client.ask()
        received = b""
        with pytest.raises(CutBodyError, match=r"ended|reset|violation"):
            async for piece in pieces(exchange):
                received += piece
        exchange.give_back()
        return received

    assert run(scenario) == BODY[:700_001]


def test_slow_body_comes_as_it_comes(server, run):
    def handle(exchange):
        exchange.head(headers={"Content-Length": 600_000})
        for _ in range(3):
            exchange.send(b"x" * 10)
            time.sleep(0.3)

    answers(server, handle)

    async def scenario(client):
        exchange = await client.ask()
        begin = time.monotonic()
        first = await exchange.read()
        assert time.monotonic() - begin < 0.25
        assert len(first) == 10
        second = await exchange.read()
        exchange.give_back()
        assert bytes(second) == b"x" * 10

    run(scenario)


def test_nobody_reads(server, run):
    """What is not read stays in the kernel, and the upstream has to wait."""
    sent = []

    def handle(exchange):
        exchange.head(headers={"Content-Length": 1 << 30})
        with suppress(OSError):
            while True:
                exchange.send(bytes(1 << 16))
                sent.append(1 << 16)

    answers(server, handle)

    async def scenario(client):
        exchange = await client.ask()
        await exchange.read()
        await asyncio.sleep(0.2)
        before = sum(sent)
        spent = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - spent < 0.2
        assert sum(sent) - before < 1 << 20
        exchange.give_back()

    run(scenario)


@pytest.mark.parametrize("phase", ["head", "body"])
def test_cancelled(server, run, phase):
    def handle(exchange):
        if phase == "body":
            exchange.head(headers={"Content-Length": 1 << 30})
            exchange.send(BODY)
        with suppress(OSError):
            exchange.connection.recv(1)  # until the client goes
        exchange.close()

    answers(server, handle)

    async def scenario(client):
        task = asyncio.create_task(client.get())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)

    run(scenario)


@pytest.mark.parametrize("line", [b"Name: value\r\n", b"x" * 1000])
def test_head_that_does_not_end(server, run, line):
    def handle(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while True:
                exchange.send(line)

    answers(server, handle)

    async def scenario(client):
        with pytest.raises(NotHttpError):
            await client.ask()

    run(scenario)


def test_header_with_a_line_of_its_own(server, run):
    async def scenario(client):
        with pytest.raises(ValueError, match="line break"):
            await client.ask(headers={"If-Range": "x\r\nEvil: y"})

    run(scenario)
    assert not server.requests


def test_large_request(server, run):
    answers(server, whole)

    async def scenario(client):
        assert await client.get(form={"x": "y" * 8_000_000}) == BODY

    run(scenario)
    assert len(server.requests[0].body) == 8_000_002


def test_idle_connections_end(server, authority):
    seen = answers(server, whole)

    async def scenario():
        client = Client(server, authority)
        client._connections._kept._seconds = 0.1
        await client.get()
        assert len(client._connections._kept._idle) == 1
        await asyncio.sleep(0.4)
        assert not client._connections._kept._idle
        await client.get()
        client.close()

    asyncio.run(scenario())
    assert len(set(seen)) == 2
