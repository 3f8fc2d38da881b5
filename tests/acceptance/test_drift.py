"""Upstreams of stored files that change or vanish: told, and nothing stored is touched."""

import sqlite3
import threading
import time

import pytest

from tests.acceptance.running_components import Component, api, command
from tests.acceptance.running_mirror import DIRECT, RunningMirror
from tests.upstream_server import UpstreamServer, file, redirect

QUICK = {"DISTFILE_MIRROR_UPSTREAM_CHECK_SECONDS": "0.05", "DISTFILE_MIRROR_UPSTREAM_CHECK_PERIOD": "1"}


@pytest.fixture
def upstream():
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def mirror(tmp_path, upstream):
    flags = ["--workers", "1"]
    with RunningMirror(tmp_path, upstream={"up.test": upstream.port}, environment=QUICK, flags=flags) as running:
        yield running


def verdicts(mirror):
    found = mirror.api("/files")["files"]
    return {each["uri"].rpartition("/")[2]: (each["upstream"] or {}).get("verdict") for each in found}


def wait_for(mirror, wanted):
    until = time.monotonic() + 40
    while (found := verdicts(mirror)) != wanted:
        assert time.monotonic() < until, (found, mirror.log.read_text())
        time.sleep(0.2)


def test_what_changed_and_what_is_gone_is_told_and_the_stored_bytes_stay(mirror, upstream):
    for name in ("same", "longer", "touched", "gone", "moved"):
        upstream.routes[f"/{name}"] = file(b"content")
    upstream.routes["/there"] = file(b"content")
    mirror.add(*(f"http://up.test/{name}" for name in ("same", "longer", "touched", "gone", "moved")))
    wait_for(mirror, dict.fromkeys(("same", "longer", "touched", "gone", "moved"), "same"))
    assert {request.method for request in upstream.requests} == {"GET", "HEAD"}

    upstream.routes["/longer"] = file(b"content, and more")
    upstream.routes["/touched"] = file(b"CONTENT", Last_Modified="Wed, 03 Jan 2024 00:00:00 GMT")
    del upstream.routes["/gone"]
    upstream.routes["/moved"] = redirect("http://up.test/there")
    drifted = {"same": "same", "longer": "changed", "touched": "perhaps changed", "gone": "gone", "moved": "same"}
    wait_for(mirror, drifted)

    page = DIRECT.open(f"{mirror.admin}/", timeout=10).read().decode()
    assert "you hold the last copy" in page
    listed = mirror.api("/files?upstream=gone")["files"]
    assert [each["uri"] for each in listed] == ["http://up.test/gone"]
    shown = mirror.run("show", "http://up.test/gone").stdout
    assert "gone: you hold the last copy" in shown
    assert "upstream answers 404" in shown
    fetches = [request for request in upstream.requests if request.method == "GET"]
    assert len(fetches) == 5
    assert all(each["state"] == "present" for each in mirror.api("/files")["files"])
    events = mirror.api("/audit?action=upstream+found+gone")["events"]
    assert [event["subject"] for event in events] == ["http://up.test/gone"]

    upstream.routes["/gone"] = file(b"content")
    wait_for(mirror, drifted | {"gone": "same"})


class Runs:
    """Runs of `cron-download-files` now and then, on files /0 to /5 that a run has stored."""

    def __init__(self, folder, upstream):
        self.folder = folder
        self.data = folder / "data"
        self.upstream = upstream
        self.paths = [f"/{number}" for number in range(6)]
        upstream.routes.update({path: file(b"content") for path in self.paths})
        self._arguments = ["cron-download-files", "--data-dir", self.data, "--allow-network", "127.0.0.0/8"]
        self._arguments += ["--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        command(folder, "migrate", "--data-dir", self.data)
        admin = Component(folder, "admin", "web-admin", "--data-dir", self.data).listen("--admin-listen")
        try:
            admin.start().wait_until_up()
            for path in self.paths:
                document = {"uri": f"http://up.test{path}", "project": "tests", "reason": "to see it change"}
                assert api(admin, "/files", document)[0] == 201
        finally:
            admin.stop()
        self.run()
        assert len(upstream.requests) == len(self.paths)

    def database(self):
        return sqlite3.connect(self.data / "catalog.sqlite3")

    def grow_old(self):
        with self.database() as database:
            database.execute("UPDATE catalog_file SET fetched_at = '2000-01-01'")

    def run(self, **settings):
        """Return what was asked for by HEAD, and the seconds that it took."""
        before, begun = len(self.upstream.requests), time.monotonic()
        command(self.folder, *self._arguments, environment=_named(settings))
        asked = self.upstream.requests[before:]
        assert {request.method for request in asked} <= {"HEAD"} or not before
        return [request.target for request in asked], time.monotonic() - begun

    def start(self, **settings):
        return Component(self.folder, "run", *self._arguments, environment=_named(settings)).start()

    def verdicts(self):
        with self.database() as database:
            return dict(database.execute("SELECT file_id - 1, verdict FROM catalog_upstreamcheck"))


def _named(settings):
    return {f"DISTFILE_MIRROR_UPSTREAM_CHECK_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture
def runs(tmp_path, upstream):
    return Runs(tmp_path, upstream)


def test_runs_for_a_moment_ask_a_few_and_go_on_where_the_last_one_stood(runs, upstream):
    asked, seconds = runs.run()
    assert asked == []  # what has just been stored is not asked after
    runs.grow_old()
    assert runs.run(seconds=0)[0] == []
    del upstream.routes["/1"]
    first, longer = runs.run(seconds=3)
    assert first == runs.paths[: len(first)]
    assert 2 <= len(first) <= 4
    assert longer < seconds + 20
    second, _ = runs.run(seconds=0.1)
    assert first + second == runs.paths
    assert runs.verdicts() == {number: "gone" if number == 1 else "same" for number in range(6)}
    assert runs.run(seconds=0.1)[0] == []  # the round is done, and the next one is in a week


def test_a_run_that_is_to_stop_asks_no_more(runs, upstream):
    runs.grow_old()
    before = len(upstream.requests)
    process = runs.start(seconds=8)
    until = time.monotonic() + 20
    while not runs.verdicts():
        assert time.monotonic() < until, process.log.read_text()
        time.sleep(0.05)
    begun = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - begun < 3
    assert len(upstream.requests) == before + 1
    assert runs.run(seconds=0.1)[0] == runs.paths[1:]


def test_an_upstream_that_does_not_answer_does_not_keep_runs_from_others(runs, upstream):
    runs.grow_old()
    enough = threading.Event()
    upstream.routes["/0"] = lambda _exchange: enough.wait(60)
    try:
        asked, seconds = runs.run(seconds=0.1)
        assert asked == ["/0"]
        assert 10 <= seconds < 20
        assert runs.run(seconds=0.1)[0] == runs.paths[1:]
    finally:
        enough.set()
    assert runs.verdicts() == {0: "unknown", **dict.fromkeys(range(1, 6), "same")}
