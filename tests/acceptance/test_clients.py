"""Real programs get, through the proxy, the bytes that an upstream had that is gone by now."""

import email.utils
import hashlib
import http.client
import os
import random
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

import pytest

from tests.acceptance.running_mirror import RunningMirror, clean_environment
from tests.requirements import skip
from tests.upstream_server import HTTP_DATE, UpstreamServer, file

BODY = random.Random(7).randbytes(3_000_001)
SMALL = b"a small file\n"
BIG_URI = "https://up.test/path/foo-1.2.tar.gz?x=1&y=%2F"
SMALL_URI = "https://up.test/small.txt"
PLAIN_URI = "http://plain.test/readme.txt"
WHEEL = "tiny-1.0-py3-none-any.whl"


def make_wheel(folder):
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "ANSWER = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
    return path.read_bytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory, authority):
    """A mirror that fetched everything, and its upstreams stopped."""
    folder = tmp_path_factory.mktemp("served")
    wheel = make_wheel(folder)
    routes = {
        "/path/foo-1.2.tar.gz?x=1&y=%2F": file(BODY, Content_Type="application/gzip"),
        "/small.txt": file(SMALL, Content_Type="text/plain"),
        f"/wheels/{WHEEL}": file(wheel, Content_Type="application/octet-stream"),
    }
    with (
        UpstreamServer(authority.server_context("up.test"), routes=routes) as secure,
        UpstreamServer(routes={"/readme.txt": file(SMALL)}) as plain,
    ):
        mirror = RunningMirror(
            folder, upstream_ca=authority.ca_file, upstream={"up.test": secure.port, "plain.test": plain.port}
        )
        mirror.start()
        mirror.add(BIG_URI, SMALL_URI, PLAIN_URI, f"https://up.test/wheels/{WHEEL}")
        asked = len(secure.requests)
    mirror.wheel = wheel
    mirror.secure = secure
    yield mirror
    assert len(secure.requests) == asked
    assert mirror.stop() == 0


def run(command, served, **more):
    return subprocess.run(
        list(map(str, command)), capture_output=True, timeout=60, check=False, env=clean_environment(**more)
    )


def curl(served, *arguments):
    return run(["curl", "-sS", "--proxy", served.proxy, "--cacert", served.ca, *arguments], served)


def wget(served, *arguments):
    proxies = dict.fromkeys(("https_proxy", "http_proxy"), served.proxy)
    return run(["wget", "-nv", "--tries=1", f"--ca-certificate={served.ca}", *arguments], served, **proxies)


class TestCurl:
    def test_whole(self, served):
        assert curl(served, BIG_URI).stdout == BODY

    def test_head_tells_what_get_would(self, served):
        head = curl(served, "-I", BIG_URI).stdout.decode()
        assert "HTTP/1.1 200 OK" in head
        assert f"Content-Length: {len(BODY)}" in head
        assert f'ETag: "{hashlib.sha256(BODY).hexdigest()}"' in head
        assert "Content-Type: application/gzip" in head
        assert f"Last-Modified: {HTTP_DATE}" in head
        assert "Accept-Ranges: bytes" in head
        assert "Repr-Digest: sha-256=:" in head

    def test_range(self, served):
        assert curl(served, "-r", "1000-1999", BIG_URI).stdout == BODY[1000:2000]
        assert curl(served, "-r", "-10", BIG_URI).stdout == BODY[-10:]

    def test_resume(self, served, tmp_path):
        target = tmp_path / "foo"
        target.write_bytes(BODY[:1_234_567])
        assert curl(served, "-C", "-", "-o", target, BIG_URI).returncode == 0
        assert target.read_bytes() == BODY

    def test_resume_of_a_complete_file(self, served, tmp_path):
        target = tmp_path / "foo"
        target.write_bytes(BODY)
        curl(served, "-C", "-", "-o", target, BIG_URI)
        assert target.read_bytes() == BODY

    def test_only_if_newer(self, served, tmp_path):
        status = ["-o", os.devnull, "-w", "%{http_code}"]
        assert curl(served, *status, "-z", HTTP_DATE, SMALL_URI).stdout == b"304"
        assert curl(served, *status, "-z", "Sun, 01 Jan 2023 00:00:00 GMT", SMALL_URI).stdout == b"200"

    def test_many_on_one_connection(self, served):
        done = curl(served, "-v", SMALL_URI, BIG_URI, SMALL_URI)
        assert done.stdout == SMALL + BODY + SMALL
        assert done.stderr.count(b"CONNECT up.test:443") == 1

    def test_plain_http(self, served):
        assert curl(served, PLAIN_URI).stdout == SMALL

    def test_plain_http_in_a_tunnel(self, served):
        assert curl(served, "--proxytunnel", PLAIN_URI).stdout == SMALL

    def test_tls_straight_on_the_port(self, served):
        """DNS or a redirected port leads clients here that know of no proxy."""
        done = run(
            [
                "curl",
                "-sS",
                "--cacert",
                served.ca,
                "--connect-to",
                f"up.test:443:127.0.0.1:{served.proxy_port}",
                SMALL_URI,
            ],
            served,
        )
        assert done.stdout == SMALL, done.stderr

    def test_without_the_ca_nothing_is_believed(self, served):
        assert run(["curl", "-sS", "--proxy", served.proxy, SMALL_URI], served).returncode == 60


class TestMisses:
    def test_inside_a_tunnel(self, served):
        done = curl(served, "-i", "https://up.test/not-declared.tgz")
        assert b"HTTP/1.1 404 Not declared in Distfile Mirror" in done.stdout
        assert b"https://up.test/not-declared.tgz is not mirrored" in done.stdout
        form = f"{served.admin}/files/declare?uri=https%3A%2F%2Fup.test%2Fnot-declared.tgz"
        assert form.encode() in done.stdout

    def test_outside(self, served):
        done = curl(served, "-i", "http://up.test/not-declared.tgz")
        assert done.stdout.startswith(b"HTTP/1.1 404 ")
        assert b"http://up.test/not-declared.tgz is not mirrored" in done.stdout

    def test_a_browser_gets_a_page_with_the_form(self, served):
        done = curl(served, "-H", "Accept: text/html", "https://up.test/<b>")
        assert b"<a href=" in done.stdout
        assert b"<b>" not in done.stdout

    def test_an_unknown_port_is_explained_inside_the_tunnel(self, served):
        done = curl(served, "-i", "https://up.test:8443/small.txt")
        assert b"https://up.test:8443/small.txt is not mirrored" in done.stdout

    def test_git_has_its_own_advice(self, served):
        done = curl(served, "https://up.test/project.git/info/refs?service=git-upload-pack")
        assert b"cannot be replayed" in done.stdout

    def test_declared_a_moment_after_the_miss(self, served, tmp_path, authority):
        with UpstreamServer(authority.server_context("up.test"), routes={"/late": file(SMALL)}) as again:
            folder = tmp_path / "late"
            folder.mkdir()
            with RunningMirror(folder, upstream_ca=authority.ca_file, upstream={"up.test": again.port}) as mirror:
                assert b"not mirrored" in curl(mirror, "https://up.test/late").stdout
                mirror.add("https://up.test/late")
                for _ in range(30):
                    if curl(mirror, "https://up.test/late").stdout == SMALL:
                        break
                else:
                    pytest.fail("what was declared is still a miss")


class TestWget:
    def test_whole(self, served, tmp_path):
        done = wget(served, "-O", tmp_path / "foo", BIG_URI)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "foo").read_bytes() == BODY

    def test_continue(self, served, tmp_path):
        (tmp_path / "small.txt").write_bytes(SMALL[:5])
        assert wget(served, "-c", "-P", tmp_path, SMALL_URI).returncode == 0
        assert (tmp_path / "small.txt").read_bytes() == SMALL
        assert wget(served, "-c", "-P", tmp_path, SMALL_URI).returncode == 0

    def test_spider_and_timestamping(self, served, tmp_path):
        assert wget(served, "--spider", SMALL_URI).returncode == 0
        assert wget(served, "-N", "-P", tmp_path, SMALL_URI).returncode == 0
        stamp = (tmp_path / "small.txt").stat().st_mtime
        assert stamp == email.utils.parsedate_to_datetime(HTTP_DATE).timestamp()
        assert wget(served, "-N", "-P", tmp_path, SMALL_URI).returncode == 0

    def test_plain_http(self, served, tmp_path):
        assert wget(served, "-O", tmp_path / "readme", PLAIN_URI).returncode == 0
        assert (tmp_path / "readme").read_bytes() == SMALL


def test_pip_downloads_a_wheel_from_its_url(served, tmp_path):
    done = run(
        [
            sys.executable,
            *("-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-index", "-d", tmp_path),
            *("--proxy", served.proxy, "--cert", served.ca, f"https://up.test/wheels/{WHEEL}"),
        ],
        served,
        PIP_CONFIG_FILE=os.devnull,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / WHEEL).read_bytes() == served.wheel


class TestPython:
    def opener(self, served):
        context = ssl.create_default_context(cafile=served.ca)
        # As Python 3.13 and later have it by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": served.proxy, "http": served.proxy}),
            urllib.request.HTTPSHandler(context=context),
        )

    def test_urllib_whole_and_ranged(self, served):
        with self.opener(served).open(BIG_URI) as answer:
            assert answer.read() == BODY
        request = urllib.request.Request(BIG_URI, headers={"Range": "bytes=5-9"})
        with self.opener(served).open(request) as answer:
            assert answer.status == 206
            assert answer.read() == BODY[5:10]

    def test_urllib_plain(self, served):
        with self.opener(served).open(PLAIN_URI) as answer:
            assert answer.read() == SMALL

    def test_miss_is_an_http_error_with_a_reason(self, served):
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.opener(served).open("https://up.test/nothing")
        with caught.value:
            assert (caught.value.code, caught.value.reason) == (404, "Not declared in Distfile Mirror")

    def test_an_address_in_the_url(self, served):
        """A certificate for an IP address has it as an address; SNI never carries one."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.opener(served).open("https://192.0.2.7/nothing")
        with caught.value:
            assert caught.value.code == 404


def test_aria2_takes_it_in_pieces(served, tmp_path):
    if not shutil.which("aria2c"):
        skip("aria2c is not installed: install the package aria2")
    done = run(
        [
            *("aria2c", "-q", "-x4", "-s4", "-k1M", "-d", tmp_path, "-o", "foo", f"--all-proxy={served.proxy}"),
            *(f"--ca-certificate={served.ca}", "--max-tries=1", BIG_URI),
        ],
        served,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "foo").read_bytes() == BODY


def test_the_proxy_itself(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.proxy_port)
    answers = {}
    for path in ("/", "/ca.pem", "/ca.der", "/ca.p12", "/health", "/metrics", "/nothing"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answers[path] = (answer.status, answer.read())
    connection.close()
    assert {path: status for path, (status, _) in answers.items()} == {
        **dict.fromkeys(answers, 200),
        "/nothing": 404,
    }
    assert answers["/ca.pem"][1] == served.ca.read_bytes()
    assert b"distfile_mirror_proxy_requests_total" in answers["/metrics"][1]
    assert served.admin.encode() in answers["/"][1]


def test_proxy_authentication(tmp_path, authority, upstream):
    upstream.routes["/a"] = file(SMALL)
    with RunningMirror(
        tmp_path,
        upstream_ca=authority.ca_file,
        upstream={"up.test": upstream.port},
        environment={"DISTFILE_MIRROR_PROXY_PASSWORD": "open sesame"},
    ) as mirror:
        mirror.add("https://up.test/a")
        ask = ["curl", "-sS", "--cacert", mirror.ca, "https://up.test/a"]
        refused = run([*ask, "--proxy", mirror.proxy], mirror)
        assert b"407" in refused.stderr
        served = run([*ask, "--proxy", mirror.proxy, "--proxy-user", "firmware:open sesame"], mirror)
        assert served.stdout == SMALL
        straight = run([*ask, "--connect-to", f"up.test:443:127.0.0.1:{mirror.proxy_port}"], mirror)
        assert b"proxy authentication is switched on" in straight.stdout
        assert run(["curl", "-sS", f"{mirror.proxy}/ca.pem"], mirror).stdout.startswith(b"-----BEGIN")
        assert b"sesame" not in mirror.log.read_bytes()
