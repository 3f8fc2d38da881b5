"""What clients do wrong, or to harm: the worker answers or ends it, and goes on serving others meanwhile."""

import os
import random
import re
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running_mirror import RunningMirror
from tests.upstream_server import UpstreamServer, file

SMALL = b"still served\n"
GIB = 1 << 30
LIMITS = {
    "DISTFILE_MIRROR_PROXY_HEADER_TIMEOUT": "2",
    "DISTFILE_MIRROR_PROXY_HANDSHAKE_TIMEOUT": "2",
    "DISTFILE_MIRROR_PROXY_STALLED_WRITER_TIMEOUT": "60",
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory, authority):
    """One worker, with short limits, that serves a small file and a huge one."""
    folder = tmp_path_factory.mktemp("hostile")
    with (
        UpstreamServer(routes={"/small": file(SMALL)}) as upstream,
        UpstreamServer(authority.server_context("huge.test"), routes={"/gib": gibibyte}) as huge,
        RunningMirror(
            folder,
            upstream_ca=authority.ca_file,
            upstream={"up.test": upstream.port, "huge.test": huge.port},
            flags=("--workers", "1"),
            environment=LIMITS,
        ) as running,
    ):
        running.add("http://up.test/small", "https://huge.test/gib")
        yield running


@pytest.fixture(autouse=True)
def others_are_served(mirror):
    """Before and after each attack, an honest client is served, by the same process."""
    worker = worker_of(mirror)
    assert honest(mirror) == SMALL
    yield
    assert honest(mirror) == SMALL
    assert worker_of(mirror) == worker


def worker_of(mirror):
    for pid in mirror.descendants():
        if b"web-proxy" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no worker runs")


def connect(mirror):
    return socket.create_connection(("127.0.0.1", mirror.proxy_port), timeout=10)


def honest(mirror):
    """Get the small file as a client would that has waited for nobody."""
    return converse(mirror, b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\n\r\n")[1]


def converse(mirror, data):
    """Send ``data``, read to the end; return head and body of the (last) answer."""
    with connect(mirror) as sock:
        sock.sendall(data)
        return read_answer(sock)


def read_answer(sock):
    received = b""
    while piece := sock.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def status(head):
    return int(head.split()[1])


@contextmanager
def tunnel(mirror, target="up.test:443"):
    with connect(mirror) as sock:
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        yield sock


def seconds_until_closed(sock, limit=10):
    """Return how long the other side takes to end the connection, which it must within ``limit``."""
    begun = time.monotonic()
    sock.settimeout(limit)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


class TestHeads:
    def test_oversize_head(self, mirror):
        head, body = converse(mirror, b"GET http://up.test/ HTTP/1.1\r\nHost: up.test\r\nX: " + b"y" * 100_000)
        assert status(head) == 431
        assert b"too long" in body

    def test_oversize_url(self, mirror):
        assert status(converse(mirror, b"GET http://up.test/" + b"y" * 100_000)[0]) == 414

    def test_endless_head(self, mirror):
        with connect(mirror) as sock:
            sock.sendall(b"GET http://up.test/ HTTP/1.1\r\nHost: up.test\r\n")
            sent = 0
            with pytest.raises(OSError):
                while sent < 50_000_000:
                    sent += sock.send(b"X-Header: and on it goes\r\n" * 100)
            assert sent < 10_000_000

    def test_slow_head(self, mirror):
        """Bytes that trickle in do not extend the time for a head."""
        with connect(mirror) as sock:
            begun = time.monotonic()
            head = b""
            sock.settimeout(0.2)
            for byte in b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\nX-Slow: very, very slow indeed":
                try:
                    sock.sendall(bytes([byte]))
                    head += sock.recv(1000)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if head:
                    break
            assert time.monotonic() - begun < 6
            assert status(head) == 408

    def test_nothing_at_all(self, mirror):
        with connect(mirror) as sock:
            assert seconds_until_closed(sock) < 6


class TestBadRequests:
    @pytest.mark.parametrize(
        "data",
        [
            b"\r\n\r\n\r\n\x00\x01\x02\r\n\r\n",
            b"NONSENSE\r\n\r\n",
            b"GET http://up.test/small\r\nHost: up.test\r\n\r\n",
            b"GET /with space HTTP/1.1\r\nHost: up.test\r\n\r\n",
            b"GET http:// HTTP/1.1\r\nHost: up.test\r\n\r\n",
            b"GET http://user:secret@up.test/small HTTP/1.1\r\nHost: up.test\r\n\r\n",
            b"GET ftp://up.test/small HTTP/1.1\r\nHost: up.test\r\n\r\n",
            b"GET http://up.test:99999/small HTTP/1.1\r\nHost: up.test\r\n\r\n",
            b"GET http://up.test/small HTTP/1.1\r\n\r\n",
            b"GET http://up.test/small HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            b"GET http://up.test/small HTTP/1.1\r\nHost : up.test\r\n\r\n",
            b"GET http://up.test/small HTTP/1.1\nHost: up.test\n\n",
            b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\n folded: yes\r\n\r\n",
            b"GET http://up.test/small HTTP/7.3\r\nHost: up.test\r\n\r\n",
        ],
    )
    def test_is_refused(self, mirror, data):
        head, body = converse(mirror, data)
        assert status(head) in {400, 505}
        assert body.strip()
        assert b"Traceback" not in body

    @pytest.mark.parametrize(
        "target",
        [
            b"nonsense",
            b"up.test",
            b"up.test:0",
            b"up.test:x",
            b":443",
            b"/path",
            b"http://up.test/",
            b"[::1",
            b"a b:443",
        ],
    )
    def test_connect_to_nonsense(self, mirror, target):
        assert status(converse(mirror, b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")[0]) == 400

    def test_http_2_without_asking(self, mirror):
        assert status(converse(mirror, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[0]) in {400, 505}


class TestSmuggling:
    """A second request, hidden in what may be the body of a first, is never answered."""

    HIDDEN = b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\n\r\n"

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            b"Content-Length: 3, 4\r\n\r\nabc",
            b"Content-Length: +3\r\n\r\nabc",
            b"Content-Length: 3\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n3;x=\n\r\nabc\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
            b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
        ],
    )
    @pytest.mark.parametrize("method", [b"GET", b"POST"])
    def test_is_not_answered(self, mirror, method, framing):
        first = method + b" http://up.test/nowhere HTTP/1.1\r\nHost: up.test\r\n" + framing
        with connect(mirror) as sock:
            sock.sendall(first + self.HIDDEN)
            received = b""
            while piece := sock.recv(65536):
                received += piece
        assert len(re.findall(rb"HTTP/1.1 [0-9]{3} ", received)) == 1
        assert SMALL not in received
        assert status(received) in {400, 404, 405}


class TestTunnels:
    def test_handshake_that_never_ends(self, mirror):
        with tunnel(mirror) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
            assert seconds_until_closed(sock) < 6

    def test_handshake_that_never_begins(self, mirror):
        with tunnel(mirror) as sock:
            assert seconds_until_closed(sock) < 6

    def test_garbage_instead_of_a_handshake(self, mirror):
        with tunnel(mirror) as sock:
            sock.sendall(b"\x16\x03\x01\x00\x20" + os.urandom(32))
            assert seconds_until_closed(sock) < 6

    def test_straight_garbage(self, mirror):
        with connect(mirror) as sock:
            sock.sendall(b"\x16\x03\x01\x00\x20" + os.urandom(32))
            assert seconds_until_closed(sock) < 6

    def test_host_of_another_server(self, mirror):
        with tunnel(mirror, "up.test:80") as sock:
            sock.sendall(b"GET /small HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n")
            head, _ = read_answer(sock)
        assert status(head) == 421

    def test_name_in_the_handshake_that_cannot_be(self, mirror):
        context = ssl.create_default_context(cafile=mirror.ca)
        context.check_hostname = False
        with tunnel(mirror) as sock, pytest.raises(ssl.SSLError):
            context.wrap_socket(sock, server_hostname="in valid_!name")


class TestHonestOddities:
    def test_pipelining(self, mirror):
        one = b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\n\r\n"
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        with connect(mirror) as sock:
            sock.sendall(one * 999 + last)
            received = b""
            while piece := sock.recv(1 << 20):
                received += piece
        assert received.count(b"HTTP/1.1 200 OK") == 1000
        assert received.count(SMALL) == 1000

    def test_http_1_0(self, mirror):
        head, body = converse(mirror, b"GET http://up.test/small HTTP/1.0\r\n\r\n")
        assert status(head) == 200
        assert b"Connection: close" in head
        assert body == SMALL

    def test_http_1_0_keep_alive(self, mirror):
        with connect(mirror) as sock:
            for _ in range(2):
                sock.sendall(b"GET http://up.test/small HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                received = b""
                while not received.endswith(SMALL):
                    received += sock.recv(65536)
                assert b"Connection: keep-alive" in received

    def test_expect(self, mirror):
        request = b"GET http://up.test/small HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\nExpect: %s\r\n\r\n"
        assert converse(mirror, request % b"100-continue")[1] == SMALL
        assert status(converse(mirror, request % b"miracles")[0]) == 417

    def test_head_in_small_pieces(self, mirror):
        with connect(mirror) as sock:
            for byte in b"CONNECT up.test:80 HTTP/1.1\r\nHost: up.test:80\r\n\r\n":
                sock.sendall(bytes([byte]))
                time.sleep(0.001)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
            sock.sendall(b"GET /small HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\n\r\n")
            assert read_answer(sock)[1] == SMALL

    def test_connect_and_what_follows_in_one_packet(self, mirror):
        """A client may begin inside the tunnel before it was told that there is one."""
        context = ssl.create_default_context(cafile=mirror.ca)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="up.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with connect(mirror) as sock:
            sock.sendall(b"CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n\r\n" + outgoing.read())
            received = sock.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
            incoming.write(received.partition(b"\r\n\r\n")[2] or sock.recv(65536))
            for _ in range(10):
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(sock.recv(65536))
        assert tls.getpeercert()["subjectAltName"] == (("DNS", "up.test"),)

    def test_other_methods(self, mirror):
        head, _ = converse(
            mirror, b"DELETE http://up.test/small HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\n\r\n"
        )
        assert status(head) == 405
        assert b"Allow: GET, HEAD" in head


class TestMany:
    def test_two_thousand_idle_connections(self, mirror):
        with ExitStack() as stack:
            for _ in range(2000):
                stack.enter_context(connect(mirror))
            begun = time.monotonic()
            assert honest(mirror) == SMALL
            assert time.monotonic() - begun < 2

    def test_more_connections_than_one_client_may_have(self, tmp_path):
        limits = {"DISTFILE_MIRROR_PROXY_MAX_CONNECTIONS_PER_CLIENT": "10"}
        with RunningMirror(tmp_path, flags=("--workers", "1"), environment=limits) as small, ExitStack() as stack:
            for _ in range(10):
                stack.enter_context(connect(small))
            time.sleep(0.2)
            head, _ = read_answer(stack.enter_context(connect(small)))
            assert status(head) == 503
            assert b"Retry-After" in head

    def test_two_hundred_slow_readers_of_a_gibibyte(self, mirror):
        """Memory is bounded by a chunk for each, whatever the size of the file."""
        context = ssl.create_default_context(cafile=mirror.ca)
        request = b"GET /gib HTTP/1.1\r\nHost: huge.test\r\n\r\n"
        with ExitStack() as stack:
            readers = [stack.enter_context(self.slow_reader(mirror, context, request)) for _ in range(200)]
            for _ in range(5):
                for reader in readers:
                    assert reader.recv(1000)
                begun = time.monotonic()
                assert honest(mirror) == SMALL
                assert time.monotonic() - begun < 2
                time.sleep(0.2)
            assert peak_memory(worker_of(mirror)) < 200 << 20

    @contextmanager
    def slow_reader(self, mirror, context, request):
        with (
            tunnel(mirror, "huge.test:443") as sock,
            context.wrap_socket(sock, server_hostname="huge.test") as tls,
        ):
            tls.sendall(request)
            yield tls


def peak_memory(pid):
    """Return the most resident memory that ``pid`` ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def gibibyte(exchange):
    """Serve 1 GiB without having it in memory."""
    piece = random.Random(3).randbytes(1 << 20)
    exchange.head(200, "OK", {"Content-Length": str(GIB)})
    for _ in range(GIB // len(piece)):
        exchange.send(piece)
