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

from tests.acceptance.running_mirror import RunningMirror, children_of
from tests.upstream_server import HTTP_DATE, UpstreamServer

FILES = 200
KILLS = 50
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

    def __init__(self, mirror):
        super().__init__(daemon=True)
        self.mirror = mirror
        self.wrong = []
        self.right = 0
        self.ended = threading.Event()

    def run(self):
        chance = random.Random(SEED)
        while not self.ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                self.ask(chance.randrange(FILES))
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


def unfinished(mirror):
    with closing(sqlite3.connect(mirror.data / "catalog.sqlite3")) as catalog:
        return catalog.execute("SELECT COUNT(*) FROM catalog_file WHERE state <> 'present'").fetchone()[0]


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


def test_killed_fifty_times_during_a_run_of_two_hundred_files(tmp_path):
    chance = random.Random(SEED)
    routes = {f"/{number}": slowly(number) for number in range(FILES)}
    with (
        UpstreamServer(routes=routes) as upstream,
        RunningMirror(tmp_path, upstream={"up.test": upstream.port}) as mirror,
    ):
        lines = (
            f"http://up.test/{number} sha256:{hashlib.sha256(body_of(number)).hexdigest()}" for number in range(FILES)
        )
        mirror.add("-", wait=False, input="\n".join(lines))
        reader = Reader(mirror)
        reader.start()
        struck_at_work = 0
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 1.5))
            struck_at_work += unfinished(mirror) > 0
            strike(mirror, chance)
        mirror.wait_until_up()
        wait_until_all_present(mirror)
        reader.ended.set()
        reader.join()
        for number in range(FILES):
            reader.ask(number)
        assert struck_at_work > KILLS // 2, "most kills came after the work was done"
        assert reader.wrong == []
        assert reader.right >= FILES
        assert list((mirror.data / "blobs" / "incoming").iterdir()) == []
        for path in (mirror.data / "blobs" / "sha256").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def wait_until_all_present(mirror):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        counts = {state: len(mirror.api(f"/files?state={state}&limit=200")["files"]) for state in ("present", "failed")}
        assert counts["failed"] == 0
        if counts["present"] == FILES:
            return
        time.sleep(0.5)
    raise AssertionError(f"only {counts} after two minutes: {mirror.log.read_text()[-3000:]}")
