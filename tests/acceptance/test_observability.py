"""What operators see: ids that lead from an answer to the log, and metrics of every component."""

import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import DIRECT, RunningMirror
from tests.ports import free_port
from tests.upstream_server import UpstreamServer, file

LARGE = bytes(8 << 20)


class _Proxy:
    def __init__(self, mirror):
        self.url = mirror.proxy


def log_lines(mirror, **wanted):
    """Return the lines of the log that have these values, waiting for the first."""
    until = time.monotonic() + 10
    while True:
        lines = [json.loads(line) for line in mirror.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]
        if found:
            return found
        assert time.monotonic() < until, (wanted, mirror.log.read_text())
        time.sleep(0.05)


def metrics(url):
    text = DIRECT.open(f"{url}/metrics", timeout=10).read().decode()
    return {name: float(value) for name, value in re.findall(r"^(distfile_mirror\S+) (\S+)$", text, re.MULTILINE)}


def test_an_answer_leads_to_the_log(mirror, upstream):
    upstream.routes["/a"] = file(b"a")
    mirror.add("https://up.test/a")
    status, headers, _body = get(_Proxy(mirror), "http://up.test/missing")
    assert status == 404
    (line,) = log_lines(mirror, request_id=headers["X-Request-Id"])
    assert (line["event"], line["uri"]) == ("miss", "http://up.test/missing")

    (declared,) = log_lines(mirror, event="answered", method="POST", path="/api/v1/files")
    assert (declared["status"], len(declared["request_id"])) == (201, 16)
    (line,) = log_lines(mirror, event="fetched", uri="https://up.test/a")
    assert (line["row_id"], line["request_id"]) == (1, declared["request_id"])
    request = urllib.request.Request(f"{mirror.admin}/api/v1/files/1/retry", b"", {"X-Request-Id": "build-4711.retry"})
    try:
        DIRECT.open(request, timeout=10)
        raise AssertionError("a present file cannot be tried again")
    except urllib.error.HTTPError as error:
        with error:
            assert error.headers["X-Request-Id"] == "build-4711.retry"
    (line,) = log_lines(mirror, request_id="build-4711.retry")
    assert (line["status"], line["path"]) == (409, "/api/v1/files/1/retry")
    request = urllib.request.Request(f"{mirror.admin}/api/v1/files", headers={"X-Request-Id": "two words"})
    assert DIRECT.open(request, timeout=10).headers["X-Request-Id"] != "two words"


def test_a_request_that_is_named_is_called_so_by_every_component(mirror, upstream):
    builds = urllib.request.build_opener(urllib.request.ProxyHandler({"http": mirror.proxy}))
    asked = urllib.request.Request("http://up.test/absent", headers={"X-Request-Id": "nightly-build.17"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        builds.open(asked, timeout=10)
    with caught.value as answer:
        assert (answer.code, answer.headers["X-Request-Id"]) == (404, "nightly-build.17")
    (line,) = log_lines(mirror, event="miss", uri="http://up.test/absent")
    assert line["request_id"] == "nightly-build.17"

    use = {"project": "tests", "reason": "to see it fail"}
    admin = SimpleNamespace(url=mirror.admin)
    declared = {"X-Request-Id": "declared.by.ci"}
    _status, document = api(admin, "/files", {"uri": "https://up.test/absent", **use}, headers=declared)
    log_lines(mirror, event="failed", uri="https://up.test/absent", request_id="declared.by.ci")
    upstream.routes["/absent"] = file(b"there after all")
    while mirror.api(f"/files/{document['id']}")["state"] != "failed":
        time.sleep(0.05)
    api(admin, f"/files/{document['id']}/retry", {}, headers={"X-Request-Id": "tried.again"})
    (line,) = log_lines(mirror, event="fetched", uri="https://up.test/absent")
    assert line["request_id"] == "tried.again"


def test_the_admin_tells_what_components_without_a_port_count(tmp_path):
    again = {"DISTFILE_MIRROR_VERIFY_PERIOD": "1"}
    with (
        UpstreamServer(routes={"/a": file(b"content")}) as upstream,
        RunningMirror(tmp_path, upstream={"up.test": upstream.port}, environment=again) as mirror,
    ):
        mirror.add("http://up.test/a")
        mirror.add("http://up.test/none", check=False)
        wait_for_counts(mirror)


def wait_for_counts(mirror):
    until = time.monotonic() + 40
    wanted = {
        'distfile_mirror_downloads_total{kind="file",result="fetched"}': 1,
        'distfile_mirror_downloads_total{kind="file",result="failed"}': 1,
        'distfile_mirror_downloaded_bytes_total{kind="file"}': 7,
        'distfile_mirror_download_duration_seconds_count{kind="file"}': 1,
        'distfile_mirror_verified_blobs_total{result="sound"}': 1,
        'distfile_mirror_artifacts{kind="file",state="present"}': 1,
    }
    while not wanted.items() <= (found := metrics(mirror.admin)).items():
        assert time.monotonic() < until, {name: found.get(name) for name in wanted}
        time.sleep(0.3)


FETCHED = 'distfile_mirror_downloads_total{kind="file",result="fetched"}'
FILES = 12


def wait_until(holds, told):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, told()
        time.sleep(0.1)


@pytest.fixture
def two_downloaders(tmp_path):
    """An admin and two downloaders, of one file at a time, that share its folder; both have stored some of twelve."""
    both_at_work = threading.Event()

    def slowly(exchange):
        both_at_work.wait(30)
        exchange.respond(b"content")

    with UpstreamServer(routes={f"/{number}": slowly for number in range(FILES)}) as upstream:
        data = ["--data-dir", tmp_path / "data"]
        led = ["--allow-network", "127.0.0.0/8", "--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        command(tmp_path, "migrate", *data)
        admin = Component(tmp_path, "admin", "web-admin", *data).listen("--admin-listen")
        one_at_a_time = {"DISTFILE_MIRROR_DOWNLOAD_CONCURRENCY": "1"}
        downloaders = [
            Component(tmp_path, name, "cron-download-files", "--watch", *data, *led, environment=one_at_a_time)
            for name in ("one", "other")
        ]
        try:
            for component in (admin, *downloaders):
                component.start()
            admin.wait_until_up()
            for number in range(FILES):
                document = {"uri": f"http://up.test/{number}", "project": "tests", "reason": "to see it work"}
                assert api(admin, "/files", document)[0] == 201
            wait_until(lambda: len(upstream.requests) == 2, lambda: upstream.requests)
            both_at_work.set()
            yield admin, downloaders
        finally:
            both_at_work.set()
            for component in (admin, *downloaders):
                component.stop()


def test_the_admin_adds_up_what_several_downloaders_count_and_forgets_the_dead(tmp_path, two_downloaders):
    admin, downloaders = two_downloaders
    files = [tmp_path / "data" / "run" / "metrics" / f"{each.process.pid}.prom" for each in downloaders]

    def counted(path):
        found = re.search(rf"^{re.escape(FETCHED)} (\S+)$", path.read_text(), re.MULTILINE)
        return float(found[1]) if found else 0

    wait_until(lambda: sum(map(counted, files)) == FILES, lambda: [*map(counted, files)])
    one, other = map(counted, files)
    assert min(one, other) > 0
    told = metrics(admin.url)
    assert told[FETCHED] == FILES
    assert told['distfile_mirror_download_duration_seconds_count{kind="file"}'] == FILES
    assert told['distfile_mirror_downloaded_bytes_total{kind="file"}'] == FILES * len(b"content")

    downloaders[1].kill()
    assert metrics(admin.url)[FETCHED] == FILES  # it may write again in a moment, for all that is known
    long_ago = time.time() - 61
    os.utime(files[1], (long_ago, long_ago))
    assert metrics(admin.url)[FETCHED] == one


def test_a_downloader_with_a_port_of_its_own(tmp_path):
    data = ["--data-dir", tmp_path / "data"]
    command(tmp_path, "migrate", *data)
    downloader = Component(
        tmp_path,
        "files",
        "cron-download-files",
        "--watch",
        *data,
        environment={"DISTFILE_MIRROR_METRICS_LISTEN": f"127.0.0.1:{(port := free_port())}"},
    )
    downloader.port = port
    try:
        downloader.start().wait_until_up("/health")
        text = DIRECT.open(f"{downloader.url}/metrics", timeout=5).read().decode()
        assert "# TYPE distfile_mirror_downloads_total counter" in text
        assert "process_resident_memory_bytes" in text
    finally:
        assert downloader.stop() == 0


def test_durations_of_answers(tmp_path):
    with (
        UpstreamServer(routes={"/large": file(LARGE)}) as upstream,
        RunningMirror(tmp_path, upstream={"up.test": upstream.port}, flags=["--workers", "1"]) as mirror,
    ):
        mirror.add("http://up.test/large")
        before = metrics(mirror.proxy)
        with socket.create_connection(("127.0.0.1", mirror.proxy_port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            slow.send(b"GET http://up.test/large HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\n\r\n")
            time.sleep(0.7)
            while slow.recv(1 << 20):
                pass
        after = metrics(mirror.proxy)

        def grew(bound):
            name = f'distfile_mirror_request_duration_seconds_bucket{{le="{bound}",worker="0"}}'
            return after[name] - before[name]

        # The scrapes themselves are answered within milliseconds.
        slow_ones = grew("+Inf") - grew("0.5")
        assert slow_ones == 1
        assert after['distfile_mirror_request_duration_seconds_sum{worker="0"}'] > 0.5
