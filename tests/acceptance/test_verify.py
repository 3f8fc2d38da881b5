"""Stored bytes that rot or vanish: found, not served, and repaired by the same bytes only."""

import json
import re
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import DIRECT, clean_environment
from tests.image_layout import ImageLayout
from tests.ports import free_port
from tests.registry_server import RegistryServer
from tests.upstream_server import UpstreamServer, file

USE = {"project": "tests", "reason": "to see it work"}
CONTENT = {name: name.encode() * 100_000 for name in "abcdef"}


class Installation:
    def __init__(self, folder, upstream, registry):
        self.folder = folder
        self.data = folder / "data"
        self.upstream = upstream
        command(folder, "ca", "init", "--data-dir", self.data)
        command(folder, "migrate", "--data-dir", self.data)
        shared = ["--data-dir", self.data]
        self._downloads = ["--allow-network", "127.0.0.0/8", "--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        self._downloads += ["--connect-to", f"registry.test::127.0.0.1:{registry.port}"]
        self.environment = {"DISTFILE_MIRROR_PLAIN_HTTP_REGISTRIES": "registry.test"}
        self.proxy = Component(folder, "proxy", "web-proxy", *shared, "--workers", "1").listen("--proxy-listen")
        self.admin = Component(folder, "admin", "web-admin", *shared).listen("--admin-listen")

    def __enter__(self):
        for component in (self.proxy, self.admin):
            component.start().wait_until_up()
        return self

    def __exit__(self, *_):
        self.proxy.stop()
        self.admin.stop()

    def declare(self, name):
        self.upstream.routes[f"/{name}"] = file(CONTENT[name])
        status, document = api(self.admin, "/files", {"uri": f"http://up.test/{name}", **USE})
        assert status == 201, document
        return document["id"]

    def download(self, kind="files"):
        command(
            self.folder,
            f"cron-download-{kind}",
            "--data-dir",
            self.data,
            *self._downloads,
            environment=self.environment,
        )

    def verify(self, *arguments):
        """Return exit status and what was found."""
        done = command(self.folder, "verify", "--data-dir", self.data, *arguments, check=False)
        return done.returncode, json.loads(done.stdout)

    def blob(self, file_id):
        sha256 = api(self.admin, f"/files/{file_id}")[1]["sha256"]
        return self.data / "blobs" / "sha256" / sha256[:2] / sha256

    def get(self, name):
        return get(self.proxy, f"http://up.test/{name}")

    def wait_for(self, name, status):
        until = time.monotonic() + 10
        while self.get(name)[0] != status:
            assert time.monotonic() < until, self.get(name)
            time.sleep(0.1)


def rot(path):
    path.chmod(0o644)
    with path.open("r+b") as content:
        content.seek(1000)
        content.write(b"ROT")


@pytest.fixture
def installation(tmp_path):
    with (
        UpstreamServer() as upstream,
        RegistryServer() as registry,
        Installation(tmp_path, upstream, registry) as running,
    ):
        running.registry = registry
        yield running


def test_rot_is_found_not_served_and_repaired(installation):
    ids = {name: installation.declare(name) for name in "abc"}
    installation.download()
    for name in "abc":
        assert installation.get(name)[2] == CONTENT[name]
    assert installation.verify() == (
        0,
        {"blobs": 3, "read_bytes": 300_000, "damaged": 0, "finished": True, "damaged_now": 0},
    )
    rot(installation.blob(ids["a"]))
    installation.blob(ids["b"]).unlink()
    status, found = installation.verify()
    assert (status, found["damaged"], found["damaged_now"]) == (1, 2, 2)
    for name in "ab":
        installation.wait_for(name, 503)
        _, headers, body = installation.get(name)
        assert headers["Retry-After"]
        assert b"damaged" in body
    assert installation.get("c")[2] == CONTENT["c"]

    installation.download()
    for name in "ab":
        installation.wait_for(name, 200)
        assert installation.get(name)[2] == CONTENT[name]
    assert installation.verify()[0] == 0
    history = [event["action"] for event in api(installation.admin, "/audit?q=up.test/a")[1]["events"]]
    assert {"found damaged", "repaired"} <= set(history)
    assert len(list((installation.data / "blobs" / "damaged").iterdir())) == 1  # what rotted is kept for a look


def test_other_bytes_are_no_repair_and_a_fallback_is_one(installation):
    file_id = installation.declare("a")
    installation.download()
    good = CONTENT["a"]
    installation.upstream.routes["/a"] = file(b"changed meanwhile")
    rot(installation.blob(file_id))
    assert installation.verify()[0] == 1
    installation.download()
    installation.wait_for("a", 503)
    assert "sha256" in next(iter(damages(installation)))
    sha256 = api(installation.admin, f"/files/{file_id}")[1]["sha256"]
    installation.upstream.routes["/elsewhere"] = file(good)
    again = {"uri": "http://up.test/a", **USE, "checksums": [f"sha256:{sha256}"]}
    status, document = api(installation.admin, "/files", {**again, "fallback_uris": ["http://up.test/elsewhere"]})
    assert status == 200, document
    with sqlite3.connect(installation.data / "catalog.sqlite3") as database:  # the next attempt is in a minute
        database.execute("UPDATE catalog_damagedblob SET due_at = '2000-01-01'")
    installation.download()
    installation.wait_for("a", 200)
    assert installation.get("a")[2] == good


def damages(installation):
    with sqlite3.connect(installation.data / "catalog.sqlite3") as database:
        return [row[0] for row in database.execute("SELECT message FROM catalog_damagedblob WHERE repaired_at IS NULL")]


def test_a_layer_is_repaired_from_its_registry(installation, tmp_path):
    layer = ImageLayout(tmp_path / "layout").layer({"etc/hello": b"hello"})
    image = installation.registry.push_image("team/app", [layer.content])
    reference = f"registry.test/team/app@{image['digest']}"
    status, document = api(installation.admin, "/images", {"reference": reference, **USE})
    assert status == 201, document
    installation.download("containers")
    sha256 = layer.digest.removeprefix("sha256:")
    path = installation.data / "blobs" / "sha256" / sha256[:2] / sha256
    rot_whole = path.read_bytes()[::-1]
    path.chmod(0o644)
    path.write_bytes(rot_whole)
    assert installation.verify()[0] == 1
    url = f"{installation.proxy.url}/v2/registry.test/team/app/blobs/{layer.digest}"
    assert curl(url) == 503
    installation.download("containers")
    assert installation.verify()[0] == 0
    assert curl(url) == 200


def curl(url):
    command_line = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", url]
    return int(subprocess.run(command_line, capture_output=True, check=True, env=clean_environment()).stdout)


def test_a_killed_round_is_gone_on_with(installation):
    for name in CONTENT:
        installation.declare(name)
    installation.download()
    slow = Component(
        installation.folder, "verify", "verify", "--data-dir", installation.data, "--rate", "100000", "--watch"
    ).start()
    until = time.monotonic() + 30
    while read_so_far(installation) < 1:
        assert time.monotonic() < until, slow.log.read_text()
        time.sleep(0.1)
    slow.kill()
    with sqlite3.connect(installation.data / "catalog.sqlite3") as database:  # as if two minutes had passed
        database.execute("UPDATE catalog_round SET lease_until = '2000-01-01' WHERE name = 'blobs'")
    before = read_so_far(installation)
    status, found = installation.verify("--rate", "0")
    assert (status, found["finished"]) == (0, True)
    assert 0 < found["blobs"] == len(CONTENT) - before


def test_a_round_tells_how_far_it_is_and_how_much_there_is(installation, tmp_path):
    for name in CONTENT:
        installation.declare(name)
    again = {"uri": "http://up.test/again", **USE}  # the same bytes under another name are read once
    installation.upstream.routes["/again"] = file(CONTENT["a"])
    assert api(installation.admin, "/files", again)[0] == 201
    layer = ImageLayout(tmp_path / "layout").layer({"etc/hello": b"hello"})
    image = installation.registry.push_image("team/app", [layer.content])
    for project in "pq":  # nor is what images share
        use = {**USE, "project": project}
        api(installation.admin, "/images", {"reference": f"registry.test/team/app@{image['digest']}", **use})
    installation.download()
    installation.download("containers")
    status, found = installation.verify("--rate", "0")
    blobs, size = found["blobs"], found["read_bytes"]
    assert (status, blobs) == (0, len(CONTENT) + 2)

    metrics = {"DISTFILE_MIRROR_METRICS_LISTEN": f"127.0.0.1:{(port := free_port())}"}
    arguments = ["verify", "--data-dir", installation.data, "--rate", "200000", "--watch"]
    slow = Component(
        installation.folder,
        "verify",
        *arguments,
        environment={**metrics, "DISTFILE_MIRROR_VERIFY_PERIOD": "1"},
    )
    slow.port = port
    try:
        slow.start().wait_until_up()
        wait_for_metrics(slow, lambda read, of: 0 < read < size and of == (blobs, size))
        slow.stop()
        before = read_bytes_so_far(installation)
        slow.start().wait_until_up()  # what was read by another run counts
        wait_for_metrics(slow, lambda read, of: before <= read < size and of == (blobs, size))
        wait_for_metrics(slow, lambda read, of: (read, of) == (0, (0, 0)))  # the round is over
    finally:
        slow.stop()


def wait_for_metrics(component, wanted):
    """Wait until ``wanted`` holds for the bytes read in the round and for all its blobs and their bytes."""
    until = time.monotonic() + 40
    while True:
        text = DIRECT.open(f"{component.url}/metrics", timeout=10).read().decode()
        found = dict(re.findall(r"^distfile_mirror_verify_round_(\w+) (\S+)$", text, re.MULTILINE))
        told = {name: int(float(value)) for name, value in found.items()}
        if wanted(told["read_bytes"], (told["blobs"], told["bytes"])):
            return
        assert time.monotonic() < until, (told, component.log.read_text())
        time.sleep(0.1)


def read_bytes_so_far(installation):
    with sqlite3.connect(installation.data / "catalog.sqlite3") as database:
        return database.execute("SELECT read_bytes FROM catalog_round WHERE name = 'blobs'").fetchone()[0]


def read_so_far(installation):
    with sqlite3.connect(installation.data / "catalog.sqlite3") as database:
        row = database.execute("SELECT looked_at FROM catalog_round WHERE name = 'blobs'").fetchone()
    return row[0] if row else 0


def test_on_a_terminal_it_shows_how_far_it_is(installation):
    installation.declare("a")
    installation.download()
    program = [sys.executable, "-m", "distfile_mirror", "verify", "--data-dir", str(installation.data)]
    shown = subprocess.run(
        ["script", "-qec", " ".join(program), "/dev/null"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert "1 blobs, 0 MiB, 0 damaged" in shown
    assert shown.endswith("\r\x1b[K1 blobs read, 100000 bytes; none damaged\r\n")  # in a line of its own
