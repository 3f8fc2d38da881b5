"""Killed at any instant, nothing half-made is visible and no work is lost."""

import hashlib
import http.client
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.acceptance.running_mirror import RunningMirror, children_of
from tests.upstream_server import HTTP_DATE, UpstreamServer

SEED = 20240101


def body_of(number):
    chance = random.Random(number)
    return chance.randbytes(chance.randrange(10_000, 400_000))


def slowly(number):
    """Serve a file in pieces, so that many moments are in the middle of it."""
    body = body_of(number)
    pause = random.Random(-number).uniform(0.1, 0.6)

    def handle(exchange):
        start = exchange.request.range_start or 0
        headers = {"Content-Length": str(len(body) - start), "ETag": f'"{number}"', "Last-Modified": HTTP_DATE}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        exchange.head(206 if start else 200, "OK", headers)
        for position in range(start, len(body), 100_000):
            exchange.send(body[position : position + 100_000])
            time.sleep(pause)

    return handle


class Reader(threading.Thread):
    """Asks for random files all the time, and notes whatever is not right."""

    def __init__(self, mirror, files):
        super().__init__(daemon=True)
        self.mirror = mirror
        self.files = files
        self.wrong = []
        self.right = 0
        self.ended = threading.Event()

    def run(self):
        chance = random.Random(SEED)
        while not self.ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                self.ask(chance.randrange(self.files))
            time.sleep(0.005)

    def ask(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.mirror.proxy_port, timeout=10)
        try:
            connection.request("GET", f"http://up.test/{number}")
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status == 200 and content == body_of(number):
            self.right += 1
        elif answer.status not in {404, 503}:
            self.wrong.append((number, answer.status, len(content)))


def downloader_of(mirror):
    for pid in mirror.descendants():
        with suppress(OSError):
            if b"cron-download-files" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def count(mirror, condition):
    with closing(sqlite3.connect(mirror.data / "catalog.sqlite3")) as catalog:
        return catalog.execute(f"SELECT COUNT(*) FROM catalog_file WHERE {condition}").fetchone()[0]


def unfinished(mirror):
    return count(mirror, "state <> 'present'")


def strike(mirror, chance):
    """Kill the downloader, or the process beside it, or everything."""
    pid = downloader_of(mirror)
    if pid is not None and chance.random() < 0.6:
        with suppress(OSError):
            beside = children_of(pid)
            os.kill(beside[0] if beside and chance.random() < 0.3 else pid, signal.SIGKILL)
        return
    mirror.kill()
    mirror.start(wait=False)


@pytest.mark.parametrize(
    ("files", "kills"),
    [(200, 50), pytest.param(1000, 200, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_killed_again_and_again_it_brings_every_file(tmp_path, files, kills):
    chance = random.Random(SEED)
    routes = {f"/{number}": slowly(number) for number in range(files)}
    with (
        UpstreamServer(routes=routes) as upstream,
        RunningMirror(tmp_path, upstream={"up.test": upstream.port}) as mirror,
    ):
        lines = (
            f"http://up.test/{number} sha256:{hashlib.sha256(body_of(number)).hexdigest()}" for number in range(files)
        )
        mirror.add("-", wait=False, input="\n".join(lines))
        reader = Reader(mirror, files)
        reader.start()
        struck_at_work = 0
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 1.5))
            struck_at_work += unfinished(mirror) > 0
            strike(mirror, chance)
        mirror.wait_until_up()
        wait_until_all_present(mirror, files)
        reader.ended.set()
        reader.join()
        for number in range(files):
            reader.ask(number)
        assert struck_at_work > kills // 2, "most kills came after the work was done"
        assert reader.wrong == []
        assert reader.right >= files
        assert list((mirror.data / "blobs" / "incoming").iterdir()) == []
        for path in (mirror.data / "blobs" / "sha256").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def wait_until_all_present(mirror, files):
    until = time.monotonic() + 0.6 * files
    while time.monotonic() < until:
        assert count(mirror, "state = 'failed'") == 0
        if count(mirror, "state = 'present'") == files:
            return
        time.sleep(0.5)
    raise AssertionError(
        f"{unfinished(mirror)} are missing, a long time after the last kill: {mirror.log.read_text()[-3000:]}"
    )
