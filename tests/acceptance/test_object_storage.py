"""`serve` with its blobs in a real S3 server, and curl as the build."""

import hashlib
import os
import random
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.blobs.blob_source import QUIET_SECONDS
from tests.acceptance.docker_registry import run
from tests.acceptance.running_mirror import DIRECT, RunningMirror, clean_environment
from tests.ceph_gateway import BUCKET, REGION
from tests.image_layout import ImageLayout
from tests.relay import Relay
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

LARGE = random.Random(3).randbytes(30_000_000)
SMALL = b"small\n" * 100


@pytest.fixture
def relay(ceph_gateway):
    with Relay(ceph_gateway.port) as relay:
        yield relay


@pytest.fixture
def prefix(tmp_path):
    return f"serve/{tmp_path.name}"


@pytest.fixture
def mirror(tmp_path, authority, upstream, s3, prefix):
    with RunningMirror(
        tmp_path,
        upstream_ca=authority.ca_file,
        upstream={"up.test": upstream.port},
        flags=("--blobs-url", f"s3://{BUCKET}/{prefix}", "--workers", "2"),
        environment=s3,
    ) as running:
        yield running


@pytest.fixture
def s3(ceph_gateway, relay):
    """What the environment says of the store."""
    return {
        "AWS_ACCESS_KEY_ID": ceph_gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": ceph_gateway.secret_key,
        "AWS_ENDPOINT_URL": relay.endpoint,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
        # A client that waits for the store is not one that takes no bytes.
        "DISTFILE_MIRROR_PROXY_STALLED_WRITER_TIMEOUT": "2",
    }


def curl(mirror, url, *flags, output="-"):
    command = [
        "curl",
        "-sS",
        "--proxy",
        mirror.proxy,
        "--cacert",
        mirror.ca,
        "-o",
        output,
        "-w",
        "%{stderr}%{http_code}",
    ]
    return subprocess.run(
        [*command, *flags, url], capture_output=True, check=False, timeout=120, env=clean_environment()
    )


def status_of(done):
    return int(done.stderr.decode().strip()[-3:])


def metric(mirror, name):
    with DIRECT.open(f"{mirror.proxy}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"distfile_mirror_proxy_{name}_total{{"))


def wait_for_metric(mirror, name, condition):
    """Wait for a number, which each worker tells once a second."""
    until = time.monotonic() + 5
    while not condition(metric(mirror, name)):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_declared_downloaded_and_served(mirror, upstream, relay, prefix):
    upstream.routes["/large"], upstream.routes["/small"] = file(LARGE), file(SMALL)
    mirror.add("https://up.test/large", "https://up.test/small")
    assert not (mirror.data / "blobs").exists()
    assert list((mirror.data / "spool").iterdir()) == []
    for url in ("https://up.test/large", "http://up.test/small", "https://up.test/small"):
        expected = LARGE if "large" in url else SMALL
        done = curl(mirror, url)
        if url.startswith("http://"):
            assert status_of(done) == 404  # declared with https only
        else:
            assert (status_of(done), done.stdout) == (200, expected)
    done = curl(mirror, "https://up.test/large", "-r", "1000000-1999999")
    assert (status_of(done), done.stdout) == (206, LARGE[1_000_000:2_000_000])
    sha256 = hashlib.sha256(LARGE).hexdigest()
    assert [path for method, path, _ in relay.requests if method == "GET" and sha256 in path] == [
        f"/{BUCKET}/{prefix}/sha256/{sha256[:2]}/{sha256}"
    ]
    wait_for_metric(mirror, "cache_filled_bytes", lambda count: count == len(LARGE) + len(SMALL))
    assert metric(mirror, "cache_fills") == 2


def test_what_had_come_when_all_was_killed_is_stored_and_not_fetched_again(mirror, upstream, ceph_gateway):
    """It was whole, and waited for a store that was away."""
    whole = re.compile(f"{hashlib.sha256(LARGE).hexdigest()}-.*")
    open_gate = threading.Event()
    answer = file(LARGE)
    upstream.routes["/large"] = lambda exchange: (open_gate.wait(60), answer(exchange))
    mirror.run("add", "https://up.test/large", "--project", "tests", "--reason", "to see it work")
    until = time.monotonic() + 30
    while not upstream.asked("/large"):
        assert time.monotonic() < until
        time.sleep(0.05)
    ceph_gateway.stop()
    open_gate.set()
    while not any(whole.fullmatch(path.name) for path in (mirror.data / "spool").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)
    mirror.kill()
    ceph_gateway.ensure_up()
    mirror.start()
    mirror.run("wait", "https://up.test/large")
    done = curl(mirror, "https://up.test/large")
    assert (status_of(done), done.stdout == LARGE) == (200, True)
    assert len(upstream.asked("/large")) == 1
    assert list((mirror.data / "spool").iterdir()) == []


def test_twenty_clients_and_one_large_blob(mirror, upstream, relay, tmp_path):
    upstream.routes["/large"] = file(LARGE)
    mirror.add("https://up.test/large")
    relay.bytes_per_second = 6_000_000
    begun = time.monotonic()

    def get(number):
        flags = ("-r", "0-") if number % 4 == 0 else ()
        done = curl(mirror, "https://up.test/large", *flags)
        return status_of(done), done.stdout == LARGE

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(get, range(20))) == {(200, True), (206, True)}
    assert time.monotonic() - begun > 4  # more than the stalled-writer timeout
    assert relay.asked("GET", hashlib.sha256(LARGE).hexdigest()) == [0]


def test_the_first_bytes_come_before_the_last_are_there(mirror, upstream, relay):
    upstream.routes["/large"] = file(LARGE)
    mirror.add("https://up.test/large")
    relay.bytes_per_second = 10_000_000
    command = ["curl", "-sN", "--proxy", mirror.proxy, "--cacert", mirror.ca, "https://up.test/large"]
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as process:
        received = process.stdout.read(1_000_000)
        assert time.monotonic() - begun < 2
        received += process.stdout.read()
    assert received == LARGE


def served_again(mirror, uri):
    """Return what is served, soon after an outage: a worker that has just failed asks nobody for a second."""
    until = time.monotonic() + QUIET_SECONDS + 2
    while status_of(done := curl(mirror, uri)) != 200:
        assert status_of(done) == 503
        assert time.monotonic() < until
        time.sleep(0.2)
    return done.stdout


def test_an_outage_of_the_store(mirror, upstream, ceph_gateway):
    upstream.routes["/hot"], upstream.routes["/hot-small"] = file(LARGE), file(SMALL)
    upstream.routes["/cold"], upstream.routes["/new"] = file(LARGE[::-1]), file(b"new")
    mirror.add(*(f"https://up.test/{name}" for name in ("hot", "hot-small", "cold")))
    for name in ("hot", "hot-small"):
        assert status_of(curl(mirror, f"https://up.test/{name}")) == 200
    ceph_gateway.stop()
    mirror.add("https://up.test/new", wait=False)
    for _ in range(10):
        begun = time.monotonic()
        assert curl(mirror, "https://up.test/hot").stdout == LARGE
        assert curl(mirror, "https://up.test/hot-small").stdout == SMALL
        done = curl(mirror, "https://up.test/cold", "-D", "-")
        assert status_of(done) == 503
        assert re.search(rb"(?im)^retry-after: \d+", done.stdout)
        assert b"cannot be reached: " in done.stdout
        assert time.monotonic() - begun < 5
    ceph_gateway.start()
    assert served_again(mirror, "https://up.test/cold") == LARGE[::-1]
    mirror.add("https://up.test/new")  # waits until it is here
    assert served_again(mirror, "https://up.test/new") == b"new"


def test_an_outage_in_the_middle_of_a_fill(mirror, upstream, relay, ceph_gateway):
    upstream.routes["/large"] = file(LARGE)
    mirror.add("https://up.test/large")
    relay.bytes_per_second = 6_000_000
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(curl, mirror, "https://up.test/large") for _ in range(4)]
        while not relay.asked("GET", hashlib.sha256(LARGE).hexdigest()):
            time.sleep(0.05)
        time.sleep(1)
        ceph_gateway.stop()
        relay.cut()
        time.sleep(4)
        relay.bytes_per_second = 0
        ceph_gateway.start()
        for answer in answers:
            assert (status_of(answer.result()), answer.result().stdout == LARGE) == (200, True)


def test_a_worker_that_is_killed_in_the_middle_of_a_fill(mirror, upstream, relay):
    """Clients of the other worker get all of it."""
    upstream.routes["/large"] = file(LARGE)
    mirror.add("https://up.test/large")
    relay.bytes_per_second = 6_000_000
    sha256 = hashlib.sha256(LARGE).hexdigest()
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(curl, mirror, "https://up.test/large") for _ in range(12)]
        while not relay.asked("GET", sha256):
            time.sleep(0.05)
        time.sleep(1)
        os.kill(filler_of(mirror, sha256), 9)
        done = [answer.result() for answer in answers]
    whole = [answer for answer in done if answer.returncode == 0]
    assert 0 < len(whole) < 12
    assert all(answer.stdout == LARGE for answer in whole)
    assert all(LARGE.startswith(answer.stdout) for answer in done)
    assert all(first > 0 for first in relay.asked("GET", sha256)[1:])
    mirror.wait_until_up()
    assert curl(mirror, "https://up.test/large").stdout == LARGE


def filler_of(mirror, sha256):
    """Return the process that has the lock of the file."""
    inode = (mirror.data / "cache" / "filling" / sha256).stat().st_ino
    with open("/proc/locks", encoding="ascii") as locks:
        return next(int(line.split()[4]) for line in locks if f":{inode} " in line and "FLOCK" in line)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
def test_wrong_bytes_in_the_store_are_never_served_whole(mirror, upstream, ceph_gateway, prefix, data):
    import obstore

    upstream.routes["/file"] = file(data)
    mirror.add("https://up.test/file")
    sha256 = hashlib.sha256(data).hexdigest()
    wrong = data[:-1] + b"!"
    obstore.put(ceph_gateway.store(BUCKET, prefix), f"sha256/{sha256[:2]}/{sha256}", wrong)
    for flags in ((), ("-r", "0-99"), ("-r", "-50"), ("--http1.0",)):
        done = curl(mirror, "https://up.test/file", *flags)
        assert done.returncode != 0 or status_of(done) == 503
        assert wrong[:100] not in done.stdout if flags[:1] == ("-r",) else len(done.stdout) < len(wrong)
    wait_for_metric(mirror, "cache_corrupt", lambda count: count >= 1)
    assert "is corrupt: its bytes have sha256" in mirror.log.read_text()


def test_an_image_is_pulled_by_skopeo(tmp_path, authority, s3, prefix, relay):
    """Its large layers come in while they are pulled; a client that never tries again gets all of it."""
    if not shutil.which("skopeo"):
        skip("the package skopeo is not installed")
    layout = ImageLayout(tmp_path / "layout")
    chance = random.Random(11)
    layers = [layout.layer({f"file{number}": chance.randbytes(size)}) for number, size in enumerate((100, 4_000_000))]
    layers += [layout.layer({f"small{number}": chance.randbytes(1000)}) for number in range(20)]
    image = layout.image(layers)
    routes = {f"/v2/team/app/blobs/sha256:{path.name}": file(path.read_bytes()) for path in layout.blobs()}
    routes[f"/v2/team/app/manifests/{image.digest}"] = file(image.content, Content_Type=image.media_type)
    with UpstreamServer(authority.server_context("registry.test"), routes=routes) as registry:
        mirror = RunningMirror(
            tmp_path,
            upstream_ca=authority.ca_file,
            upstream={"registry.test": registry.port},
            flags=("--blobs-url", f"s3://{BUCKET}/{prefix}", "--workers", "2"),
            environment=s3,
        )
        with mirror:
            reference = f"registry.test/team/app@{image.digest}"
            mirror.run("add-image", reference, "--project", "tests", "--reason", "to see it work", "--wait")
            relay.bytes_per_second = 2_000_000
            done = run(
                ["skopeo", "--insecure-policy", "copy", f"docker://{reference}", f"dir:{tmp_path / 'pulled'}"],
                HTTPS_PROXY=mirror.proxy,
                SSL_CERT_FILE=str(mirror.ca),
            )
            assert done.returncode == 0
    pulled = {path.name for path in (tmp_path / "pulled").iterdir()}
    assert {layer.digest.partition(":")[2] for layer in layers} <= pulled


def test_clients_that_leave_while_they_wait(mirror, upstream, relay):
    upstream.routes["/large"] = file(LARGE)
    mirror.add("https://up.test/large")
    relay.bytes_per_second = 5_000_000
    for seconds in ("0.3", "0.5", "0.7"):
        assert curl(mirror, "https://up.test/large", "--max-time", seconds).returncode == 28
    relay.bytes_per_second = 0
    assert curl(mirror, "https://up.test/large").stdout == LARGE
    assert relay.asked("GET", hashlib.sha256(LARGE).hexdigest()) == [0]
