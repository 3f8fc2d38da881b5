"""Killed at any instant during a pull: every image is whole or not there, and no stored blob is fetched again."""

import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

from tests.acceptance.running_mirror import RunningMirror
from tests.image_layout import OCI, ImageLayout
from tests.upstream_server import UpstreamServer

IMAGES = 20
KILLS = 20
SEED = 20240102
PIECE_BYTES = 50_000


def make_images(folder):
    """Make images that share a base and have layers of their own."""
    chance = random.Random(SEED)
    layout = ImageLayout(folder)
    base = layout.layer({"base": chance.randbytes(400_000)})
    images = []
    for number in range(IMAGES):
        own = [layout.layer({f"{number}-{each}": chance.randbytes(chance.randrange(10_000, 400_000))}) for each in "ab"]
        images.append(layout.image([base, *own]))
    return layout, images


def routes_of(layout, images, open_gate):
    manifests = {
        f"/v2/app/manifests/{image.digest}": send(image.content, image.media_type, open_gate) for image in images
    }
    blobs = {
        f"/v2/app/blobs/sha256:{path.name}": send(path.read_bytes(), "application/octet-stream", open_gate)
        for path in (layout.folder / "blobs" / "sha256").iterdir()
    }
    return manifests | blobs


def send(content, media_type, open_gate):
    """Serve in pieces, so that many moments are in the middle of it, and none before the event ``open_gate``."""

    def handle(exchange):
        open_gate.wait(60)
        start = exchange.request.range_start or 0
        headers = {"Content-Length": str(len(content) - start), "Content-Type": media_type}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        exchange.head(206 if start else 200, "OK", headers)
        for position in range(start, len(content), PIECE_BYTES):
            exchange.send(content[position : position + PIECE_BYTES])
            time.sleep(0.1)

    return handle


def strike(mirror, chance):
    """Kill the downloader of containers, or everything."""
    for pid in mirror.descendants():
        with suppress(OSError):
            if b"cron-download-containers" in Path(f"/proc/{pid}/cmdline").read_bytes() and chance.random() < 0.5:
                os.kill(pid, signal.SIGKILL)
                return
    mirror.kill()
    mirror.start(wait=False)


def stored(mirror):
    return {path.name for path in (mirror.data / "blobs" / "sha256").glob("*/*")}


def blobs_asked_for(requests):
    return {each.target.rpartition("sha256:")[2] for each in requests if "/blobs/" in each.target}


def unfinished(mirror):
    with closing(sqlite3.connect(mirror.data / "catalog.sqlite3")) as catalog:
        return catalog.execute("SELECT COUNT(*) FROM catalog_image WHERE state <> 'present'").fetchone()[0]


def half_made(mirror, images):
    """Return what is served of images before all of it is: a manifest whose blobs are not all there."""
    found = []
    for image in images:
        with suppress(OSError, http.client.HTTPException):
            if status(mirror, f"/v2/app/manifests/{image.digest}") == 200:
                parts = json.loads(image.content)
                digests = [parts["config"]["digest"], *(layer["digest"] for layer in parts["layers"])]
                found += [each for each in digests if status(mirror, f"/v2/app/blobs/{each}") not in {200, 503}]
    return found


def status(mirror, path):
    connection = http.client.HTTPConnection("127.0.0.1", mirror.proxy_port, timeout=10)
    try:
        connection.request("HEAD", f"http://up.test/{path}".replace("test//", "test:443/"))
        return connection.getresponse().status
    finally:
        connection.close()


def test_killed_twenty_times_during_a_pull_of_twenty_images(tmp_path, authority):
    chance = random.Random(SEED)
    layout, images = make_images(tmp_path / "layout")
    assert images[0].media_type == f"{OCI}.manifest.v1+json"
    open_gate = threading.Event()
    routes = routes_of(layout, images, open_gate)
    with (
        UpstreamServer(authority.server_context("up.test"), routes=routes) as upstream,
        RunningMirror(tmp_path, upstream_ca=authority.ca_file, upstream={"up.test": upstream.port}) as mirror,
    ):
        references = [f"up.test/app@{image.digest}" for image in images]
        mirror.run("add-image", *references, "--project", "tests", "--reason", "to see it work")
        open_gate.set()
        struck_at_work = 0
        wrong = []
        moments = []
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 1.5))
            struck_at_work += unfinished(mirror) > 0
            strike(mirror, chance)
            moments.append((stored(mirror), len(upstream.requests)))
            wrong += half_made(mirror, images[:5])
        mirror.wait_until_up()
        wait_until_all_present(mirror)
        assert struck_at_work > KILLS // 2, "most kills came after the work was done"
        assert wrong == []
        for complete, asked in moments:
            assert not complete & blobs_asked_for(upstream.requests[asked:])
        assert half_made(mirror, images) == []
        for image in images:
            assert status(mirror, f"/v2/app/manifests/{image.digest}") == 200
        assert list((mirror.data / "blobs" / "incoming").iterdir()) == []
        for path in (mirror.data / "blobs" / "sha256").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def wait_until_all_present(mirror):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        images = mirror.api("/images?limit=100")["images"]
        assert not [each for each in images if each["state"] == "failed"], images
        if len([each for each in images if each["state"] == "present"]) == IMAGES:
            return
        time.sleep(0.5)
    raise AssertionError(f"not all after two minutes: {mirror.log.read_text()[-3000:]}")
