"""What upstreams do wrong, each in one test: real servers, real TLS, real catalog and blob store."""

import asyncio
import gzip
import hashlib
import ipaddress
import os
import random
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog import queue
from distfile_mirror.catalog.declare import FileDeclaration, declare_file
from distfile_mirror.catalog.models import File
from distfile_mirror.downloaders.files import run_file_downloader
from distfile_mirror.downloaders.settings import LoopSettings
from distfile_mirror.model.addresses import ConnectTo
from distfile_mirror.upstream.settings import UpstreamSettings
from tests.upstream_server import TestAuthority, UpstreamServer, file, redirect

pytestmark = pytest.mark.django_db(transaction=True)

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
BODY = random.Random(1).randbytes(3_000_000)
SMALL = b"the very bytes"
URI = "https://up.test/file.tar.gz"
NAMES = ("up.test", "b.test", "c.test", "cdn.test", "localhost", "127.0.0.1")


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Mirror:
    """A store, a catalog, and a downloader that is run until nothing is due."""

    def __init__(self, folder, upstream):
        self.store = DiskBlobStore(folder / "blobs")
        self.store.prepare()
        self.folder = folder
        self.upstream = upstream
        self.loop = LoopSettings(backoff=60, max_backoff=600, poll=0.02, stop_grace=1)

    def declare(self, uri=URI, *checksums, fallbacks=()):
        return declare_file(
            FileDeclaration(uri=uri, project="tests", reason="to see", checksums=checksums, fallback_uris=fallbacks),
            actor="tester",
            approved=True,
            digests_of=self.store.digests,
        ).file

    def run(self, **changes):
        return asyncio.run(
            run_file_downloader(
                store=self.store,
                settings=self.loop,
                upstream=replace(self.upstream, **changes),
                run_dir=self.folder / "run",
                watch=False,
                stop=asyncio.Event(),
            )
        )

    def fetch(self, uri=URI, *checksums, fallbacks=(), **changes):
        """Declare, run, and return the row as it stands then."""
        file_id = self.declare(uri, *checksums, fallbacks=fallbacks).pk
        self.run(**changes)
        assert not list((self.folder / "blobs" / "incoming").iterdir())
        return File.objects.get(pk=file_id)

    def bytes_of(self, row):
        with self.store.open(row.sha256) as blob:
            return os.pread(blob.fd, blob.size, 0)

    def blobs(self):
        return [path for path in (self.folder / "blobs" / "sha256").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority):
    with UpstreamServer(tls=authority.server_context(*NAMES)) as server:
        yield server


@pytest.fixture
def mirror(tmp_path, server, authority):
    settings = UpstreamSettings(
        allow_network=LOOPBACK,
        connect_to=(ConnectTo("", 443, "127.0.0.1", server.port),),
        upstream_ca=authority.ca_file,
        connect_timeout=5,
        stall_timeout=5,
        total_timeout=30,
    )
    return Mirror(tmp_path, settings)


def assert_failed(row, *words):
    assert row.state == "failed", (row.state, row.message)
    for word in words:
        assert word in row.message


def assert_retried(row, *words):
    assert row.state == "pending", (row.state, row.message)
    assert row.attempts >= 1
    for word in words:
        assert word in row.message


def assert_present(mirror, row, body):
    assert row.state == "present", row.message
    assert mirror.bytes_of(row) == body
    assert row.size == len(body)


def test_good_file_with_its_headers(mirror, server):
    server.routes["/file.tar.gz"] = file(BODY, Content_Type="application/gzip", X_Other="no")
    row = mirror.fetch(URI, sha256(BODY))
    assert_present(mirror, row, BODY)
    assert row.headers == {"Content-Type": "application/gzip", "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    asked = server.requests[0].headers
    assert asked["accept-encoding"] == "identity"
    assert asked["host"] == "up.test"
    assert asked["user-agent"].startswith("distfile-mirror/")


def test_target_is_asked_to_the_letter(mirror, server):
    target = "/a%2Fb/%7euser//c%3f?x=1%202&y=/../&z=a+b"
    server.routes[target] = file(SMALL)
    assert_present(mirror, mirror.fetch("https://up.test" + target), SMALL)


def test_rows_of_a_dead_downloader_are_taken_over_at_once(mirror, server):
    server.routes["/file.tar.gz"] = file(SMALL)
    file_id = mirror.declare().pk
    assert queue.claim("host:1:dead", limit=1, lease=timedelta(hours=1))
    lock = mirror.folder / "run" / "downloaders" / "host:1:dead"
    lock.parent.mkdir(parents=True)
    lock.touch()
    mirror.run()
    assert_present(mirror, File.objects.get(pk=file_id), SMALL)
    assert not list(lock.parent.iterdir())


def test_empty_file(mirror, server):
    server.routes["/file.tar.gz"] = file(b"")
    assert_present(mirror, mirror.fetch(), b"")


def test_chunked_body(mirror, server):
    def chunked(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        exchange.send(b"4\r\nthe \r\n5\r\nbytes\r\n0\r\n\r\n")

    server.routes["/file.tar.gz"] = chunked
    assert_present(mirror, mirror.fetch(), b"the bytes")


def test_wrong_checksum(mirror, server):
    server.routes["/file.tar.gz"] = file(b"other bytes")
    row = mirror.fetch(URI, sha256(SMALL))
    assert_failed(row, sha256(SMALL), sha256(b"other bytes"), "11 bytes")
    assert not mirror.blobs()


def test_truncated_body(mirror, server):
    def truncated(exchange):
        exchange.head(headers={"Content-Length": 1000})
        exchange.send(b"x" * 600)
        exchange.close()

    server.routes["/file.tar.gz"] = truncated
    assert_retried(mirror.fetch(), "cut after 600 bytes")
    assert len(server.requests) == 2  # no validator: from zero, and no further the second time
    assert not mirror.blobs()


def test_broken_chunk(mirror, server):
    def broken(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        exchange.send(b"5\r\nthe b\r\nffff\r\nytes")
        exchange.close()

    server.routes["/file.tar.gz"] = broken
    assert_retried(mirror.fetch(), "cut after")
    assert not mirror.blobs()


def test_body_longer_than_announced(mirror, server):
    def longer(exchange):
        exchange.head(headers={"Content-Length": len(SMALL), "Connection": "close"})
        exchange.send(SMALL + b" and then some")
        exchange.close()

    server.routes["/file.tar.gz"] = longer
    row = mirror.fetch(URI, sha256(SMALL + b" and then some"))
    assert row.state in {"failed", "pending"}
    assert not mirror.blobs()


def test_error_page_in_the_files_place(mirror, server):
    server.routes["/file.tar.gz"] = file(b"<html>please log in</html>", Content_Type="text/html; charset=utf-8")
    assert_failed(mirror.fetch(URI, sha256(SMALL)), "text/html", "error or login page")


@pytest.mark.parametrize(("status", "word"), [(404, "spelling"), (410, "removed"), (403, "refuses"), (451, "legal")])
def test_final_statuses(mirror, server, status, word):
    server.routes["/file.tar.gz"] = lambda exchange: exchange.respond(status=status, reason="Because")
    assert_failed(mirror.fetch(), f"{status} Because", word)


@pytest.mark.parametrize("status", [204, 206, 304])
def test_only_200_is_a_file(mirror, server, status):
    server.routes["/file.tar.gz"] = lambda exchange: exchange.respond(status=status, reason="Odd", announce=False)
    assert_failed(mirror.fetch(), str(status))


def test_endless_body_meets_the_size_limit(mirror, server):
    def endless(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        while True:
            exchange.send(b"10000\r\n" + bytes(65536) + b"\r\n")

    server.routes["/file.tar.gz"] = endless
    assert_failed(mirror.fetch(max_bytes=1_000_000), "too large", "1000000")
    assert not mirror.blobs()


def test_announced_size_over_the_limit(mirror, server):
    server.routes["/file.tar.gz"] = file(BODY)
    assert_failed(mirror.fetch(max_bytes=1000), "too large", f"{len(BODY)} bytes")


def test_slow_trickle_is_a_stall(mirror, server):
    def trickle(exchange):
        exchange.head(headers={"Content-Length": 100_000})
        for _ in range(200):
            exchange.send(b"x" * 10)
            time.sleep(0.02)

    server.routes["/file.tar.gz"] = trickle
    begin = time.monotonic()
    assert_retried(mirror.fetch(stall_timeout=0.5, stall_bytes=1000), "fewer than 1000 bytes within 0.5 seconds")
    assert time.monotonic() - begin < 3


def test_no_answer_at_all(mirror, server):
    done = threading.Event()
    server.routes["/file.tar.gz"] = lambda exchange: done.wait(5)
    row = mirror.fetch(connect_timeout=0.3, stall_timeout=0.3)
    done.set()
    assert_retried(row, "did not answer")


def test_total_timeout(mirror, server):
    def slow(exchange):
        exchange.head(headers={"Content-Length": 10_000_000})
        with suppress(OSError):
            while True:
                exchange.send(b"x" * 5000)
                time.sleep(0.02)

    server.routes["/file.tar.gz"] = slow
    assert_retried(mirror.fetch(total_timeout=0.5), "within 0.5 seconds")


def test_redirects_are_followed_to_the_file(mirror, server):
    server.routes["/file.tar.gz"] = redirect("/moved?token=a%2Fb")
    server.routes["/moved?token=a%2Fb"] = redirect("https://cdn.test/really", 307)
    server.routes["cdn.test/really"] = file(SMALL)
    row = mirror.fetch()
    assert_present(mirror, row, SMALL)
    assert row.final_uri == "https://cdn.test/really"


def test_redirect_loop(mirror, server):
    server.routes["/file.tar.gz"] = redirect("/b")
    server.routes["/b"] = redirect("/file.tar.gz")
    assert_failed(mirror.fetch(), "loop")


def test_too_many_redirects(mirror, server):
    server.routes["/file.tar.gz"] = redirect("/0")
    server.routes.update({f"/{number}": redirect(f"/{number + 1}") for number in range(20)})
    assert_failed(mirror.fetch(), "more than 10 redirects")
    assert len(server.requests) == 11


@pytest.mark.parametrize("target", ["https://10.0.0.1/x", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x"])
def test_redirect_to_a_private_address(mirror, server, target):
    server.routes["/file.tar.gz"] = redirect(target)
    only_up = (ConnectTo("up.test", 443, "127.0.0.1", server.port),)
    networks = (ipaddress.ip_network("127.0.0.1/32"),) if "ffff" not in target else LOOPBACK
    row = mirror.fetch(connect_to=only_up, allow_network=networks)
    if "ffff" in target:  # what is inside the IPv6 address counts, and that one is allowed
        assert_retried(row)
    else:
        assert_failed(row, target.split("/")[2].strip("[]"), "--allow-network")


def test_redirect_elsewhere_than_http(mirror, server):
    server.routes["/file.tar.gz"] = redirect("file:///etc/passwd")
    assert_failed(mirror.fetch(), "'file' is not supported")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_private_address(mirror, server, host):
    row = mirror.fetch(f"https://{host}:{server.port}/file.tar.gz", allow_network=(), connect_to=())
    assert_failed(row, "::ffff:" if "ffff" in host else host.strip("[]"), "allow_network")
    assert not server.requests


def test_connect_to_does_not_lift_the_guard(mirror, server):
    assert_failed(mirror.fetch(allow_network=()), "127.0.0.1", "--allow-network")
    assert not server.requests


def test_allowed_address_literal(mirror, server):
    server.routes["/file.tar.gz"] = file(SMALL)
    row = mirror.fetch(f"https://127.0.0.1:{server.port}/file.tar.gz", connect_to=())
    assert_present(mirror, row, SMALL)


def test_connect_to_of_an_address_literal(mirror, server):
    server.routes["/file.tar.gz"] = file(SMALL)
    rules = (ConnectTo("127.0.0.1", 9, "127.0.0.1", server.port),)
    assert_present(mirror, mirror.fetch("https://127.0.0.1:9/file.tar.gz", connect_to=rules), SMALL)
    assert server.requests[0].host == "127.0.0.1:9"


def cut_once(body, at, **headers):
    """Serve ``body``, but reset the first connection after ``at`` bytes."""
    whole = file(body, **headers)

    def handle(exchange):
        if exchange.request.range_start is not None or exchange.number > 1:
            whole(exchange)
            return
        exchange.head(headers={"Content-Length": len(body), "ETag": '"v1"'} | headers)
        exchange.send(body[:at])
        time.sleep(0.2)  # a reset overtakes what was sent before it
        exchange.reset()

    return handle


def test_reset_in_the_middle_is_resumed(mirror, server):
    server.routes["/file.tar.gz"] = redirect("/signed")
    server.routes["/signed"] = cut_once(BODY, 1_700_000)
    assert_present(mirror, mirror.fetch(URI, sha256(BODY)), BODY)
    _first, second = server.asked("/signed")
    assert second.range_start == 1_700_000
    assert second.headers["if-range"] == '"v1"'
    assert len(server.asked("/file.tar.gz")) == 2  # the original URI again: the redirect may have expired


def test_server_that_ignores_range(mirror, server):
    cut = cut_once(BODY, 1_000_000)
    server.routes["/file.tar.gz"] = lambda exchange: (cut if exchange.number == 1 else plain)(exchange)
    plain = lambda exchange: exchange.respond(BODY)
    assert_present(mirror, mirror.fetch(URI, sha256(BODY)), BODY)
    assert server.requests[1].range_start == 1_000_000


def test_file_changed_between_the_parts(mirror, server):
    cut = cut_once(BODY, 1_000_000)
    changed = BODY[::-1]
    server.routes["/file.tar.gz"] = lambda exchange: (cut if exchange.number == 1 else file(changed, ETag='"v2"'))(
        exchange
    )
    assert_present(mirror, mirror.fetch(), changed)


@pytest.mark.parametrize("wrong", [{"Content-Range": "bytes 5-9/3000000"}, {"ETag": '"v2"'}, {}])
def test_range_answered_wrongly(mirror, server, wrong):
    cut = cut_once(BODY, 1_000_000)

    def handle(exchange):
        if exchange.number == 2:
            span = {"Content-Range": "bytes 1000000-2999999/3000000"} if "ETag" in wrong else {}
            exchange.respond(b"y" * 2_000_000, status=206, reason="Partial Content", headers=span | wrong)
        else:
            cut(exchange)

    server.routes["/file.tar.gz"] = handle
    assert_present(mirror, mirror.fetch(), BODY)
    assert [request.range_start for request in server.requests] == [None, 1_000_000, None]


def test_gzip_encoding_and_a_checksum_of_what_came(mirror, server):
    packed = gzip.compress(BODY[:50_000])
    server.routes["/file.tar.gz"] = file(packed, Content_Encoding="gzip")
    row = mirror.fetch(URI, sha256(packed))
    assert_present(mirror, row, packed)
    assert row.headers["Content-Encoding"] == "gzip"


def test_gzip_encoding_and_a_checksum_of_the_decoded_bytes(mirror, server):
    plain = BODY[:50_000] + bytes(2_000_000)
    packed = gzip.compress(plain[:20_000]) + gzip.compress(plain[20_000:])
    server.routes["/file.tar.gz"] = file(packed, Content_Encoding="gzip")
    row = mirror.fetch(URI, sha256(plain))
    assert_present(mirror, row, packed)
    assert row.headers["Content-Encoding"] == "gzip"


def test_decompression_bomb_is_not_followed(mirror, server):
    packed = gzip.compress(bytes(20_000_000))
    server.routes["/file.tar.gz"] = file(packed, Content_Encoding="gzip")
    assert_failed(mirror.fetch(URI, sha256(bytes(20_000_000)), max_bytes=1_000_000), "is not what was declared")


def test_retry_after_is_kept_for_the_whole_host(mirror, server):
    server.routes["/0"] = lambda exchange: exchange.respond(
        status=429, reason="Too Many", headers={"Retry-After": "30"}
    )
    server.routes.update({f"/{number}": file(SMALL) for number in range(1, 20)})
    mirror.loop = replace(mirror.loop, concurrency_per_host=1)
    ids = [mirror.declare(f"https://up.test/{number}").pk for number in range(20)]
    mirror.run()
    assert [request.target for request in server.requests] == ["/0"]
    row = File.objects.get(pk=ids[0])
    assert_retried(row, "429")
    for other in File.objects.filter(pk__in=ids):
        assert other.state == "pending"
        assert 25 < (other.due_at - timezone.now()).total_seconds() < 31
    assert not any(File.objects.filter(pk__in=ids[1:]).values_list("attempts", flat=True))


def test_transient_faults_end_as_a_failure(mirror, server):
    server.routes["/file.tar.gz"] = lambda exchange: exchange.respond(status=503, reason="Later")
    mirror.loop = replace(mirror.loop, max_attempts=1)
    assert_failed(mirror.fetch(), "given up after 1 attempts", "503 Later")


def test_fallbacks_are_tried_in_order(mirror, server):
    server.routes["/b"] = file(b"wrong")
    server.routes["/c"] = file(SMALL)
    row = mirror.fetch(URI, sha256(SMALL), fallbacks=["https://b.test/b", "https://c.test/c", "https://d.test/d"])
    assert_present(mirror, row, SMALL)
    assert row.final_uri == "https://c.test/c"
    assert [request.target for request in server.requests] == ["/file.tar.gz", "/b", "/c"]


def test_every_source_fails(mirror, server):
    server.routes["/b"] = lambda exchange: exchange.respond(status=502, reason="Bad")
    row = mirror.fetch(URI, sha256(SMALL), fallbacks=["https://b.test/b"])
    assert_retried(row, "https://up.test/file.tar.gz answered 404", "https://b.test/b answered 502")


def test_body_that_ends_with_the_connection(mirror, server):
    server.routes["/file.tar.gz"] = lambda exchange: exchange.respond(SMALL, announce=False)
    assert_failed(mirror.fetch(), "declare a checksum")
    server.routes["/other"] = server.routes["/file.tar.gz"]
    assert_present(mirror, mirror.fetch("https://up.test/other", sha256(SMALL)), SMALL)


def test_unannounced_body_cut_is_tried_again(mirror, server):
    server.routes["/file.tar.gz"] = lambda exchange: exchange.respond(SMALL[:5], announce=False)
    assert_retried(mirror.fetch(URI, sha256(SMALL)), "may be cut")


def test_unknown_certificate_authority(mirror, server):
    assert_failed(mirror.fetch(upstream_ca=None), "certificate of up.test is not trusted", "upstream_ca")


def test_certificate_of_another_name(mirror, server):
    assert_failed(mirror.fetch("https://up.example.org/x"), "up.example.org", "not trusted")


def test_not_tls_and_refused(mirror, server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    row = mirror.fetch(connect_to=(ConnectTo("", None, "127.0.0.1", port),))
    assert_retried(row, "refuses the connection")


def test_unknown_name(mirror, server):
    assert_retried(mirror.fetch("https://nowhere.invalid/x", connect_to=()), "nowhere.invalid cannot be looked up")


def test_not_http(mirror, server):
    server.routes["/file.tar.gz"] = lambda exchange: (exchange.send(b"220 ftp ready\r\n"), exchange.close())
    assert_retried(mirror.fetch(), "not HTTP")


@contextmanager
def connect_proxy(target_port, seen):
    """A CONNECT proxy that sends everything to one local port, as an outgoing proxy with its own DNS would."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pipe(here, there):
            with suppress(OSError):
                while data := here.recv(65536):
                    there.sendall(data)
            for one in (here, there):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        def serve(client):
            with client, client.makefile("rb") as reader:
                seen.append(reader.readline().decode().split()[1])
                while reader.readline().strip():
                    pass
                with socket.create_connection(("127.0.0.1", target_port)) as server:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=pipe, args=(server, client))
                    back.start()
                    pipe(client, server)
                    back.join()

        def accept():
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],)).start()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_outgoing_proxy(mirror, server, monkeypatch, variable):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.routes["/file.tar.gz"] = file(BODY)
    server.routes["/direct"] = file(SMALL)
    seen = []
    with connect_proxy(server.port, seen) as port:
        monkeypatch.setenv(variable, f"http://user:secret@127.0.0.1:{port}")
        row = mirror.fetch(URI, sha256(BODY), allow_network=(), connect_to=())
        assert_present(mirror, row, BODY)
        assert seen == ["up.test:443"]
        for host in ("10.1.2.3", "localhost", "[::1]"):
            row = mirror.fetch(f"https://{host}/x", allow_network=(), connect_to=())
            assert_failed(row, "--allow-network")
        monkeypatch.setenv("NO_PROXY", "example.org,.test")
        assert_present(mirror, mirror.fetch("https://up.test/direct"), SMALL)
    assert seen == ["up.test:443"]


def test_proxy_that_is_not_there(mirror, server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@127.0.0.1:9")
    row = mirror.fetch(connect_to=())
    assert_retried(row, "proxy 127.0.0.1:9")
    assert "secret" not in row.message
