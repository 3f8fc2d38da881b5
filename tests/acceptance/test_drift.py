"""Upstreams of stored files that change or vanish: told, and nothing stored is touched."""

import time

import pytest

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
