"""`doctor`, on what is fine and on what is broken in each part."""

import json
import socket
import sqlite3
import time

import pytest

from tests.acceptance.running_components import command
from tests.acceptance.running_mirror import RunningMirror, free_port


def examine(folder, *arguments, environment=()):
    """Return exit status, and part -> list of (level, text)."""
    done = command(folder, "doctor", "--json", *arguments, check=False, environment=environment)
    assert "Traceback" not in done.stderr, done.stderr
    found = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["part"], []).append((finding["level"], finding["text"]))
    return done.returncode, found


def told(found, part):
    return " ".join(f"{level}: {text}" for level, text in found[part])


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    ports = ["--proxy-listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{free_port()}"]
    command(tmp_path, "ca", "init", "--data-dir", folder)
    command(tmp_path, "migrate", "--data-dir", folder)
    return ["--data-dir", folder, *ports]


def test_before_anything_is_there_it_says_what_makes_it(tmp_path):
    ports = ["--proxy-listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{free_port()}"]
    status, found = examine(tmp_path, "--data-dir", tmp_path / "data", *ports)
    for part in ("data folder", "CA", "database", "blob store"):
        assert found[part][0][0] == "warning"
        assert "serve" in found[part][0][1]
    assert not (tmp_path / "data").exists()
    assert status == 1  # nothing to count downloads in yet


def test_a_fine_installation(tmp_path, data):
    status, found = examine(tmp_path, *data)
    assert status == 0, found
    assert {level for findings in found.values() for level, _text in findings} <= {"fine", "warning"}
    assert "127.0.0.1" in told(found, "proxy")
    assert "is free" in told(found, "proxy")
    shown = command(tmp_path, "doctor", *data).stdout
    assert "database:" in shown


def test_a_running_mirror_is_recognised(tmp_path):
    with RunningMirror(tmp_path) as mirror:
        ports = ["--proxy-listen", f"127.0.0.1:{mirror.proxy_port}", "--admin-listen", f"127.0.0.1:{mirror.admin_port}"]
        until = time.monotonic() + 20
        while True:
            status, found = examine(tmp_path, "--data-dir", mirror.data, *ports)
            if "all were read again" in told(found, "stored bytes"):
                break
            assert time.monotonic() < until, found
        assert status == 0, found
        for part in ("proxy", "admin"):
            assert "is healthy" in told(found, part)


def test_each_thing_that_is_broken_is_told_with_what_to_do(tmp_path, data):
    folder = tmp_path / "data"
    (folder / "ca" / "ca.key").chmod(0o644)
    status, found = examine(tmp_path, *data)
    assert status == 1
    assert "chmod 600" in told(found, "CA")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, found = examine(tmp_path, *data[:2], "--proxy-listen", f"127.0.0.1:{port}", *data[4:])
    assert status == 1
    assert "another program has it" in told(found, "proxy")

    status, found = examine(tmp_path, *data, "--database-url", "postgresql://nobody:secret@127.0.0.1:1/none")
    assert status == 1
    assert "does not answer" in told(found, "database")
    assert "secret" not in json.dumps(found)

    missing = ["--blobs-url", "s3://missing/x"]
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    status, found = examine(tmp_path, *data, *missing, environment={**nowhere, "AWS_ALLOW_HTTP": "true"})
    assert status == 1
    assert "cannot be reached" in told(found, "blob store")

    with sqlite3.connect(folder / "catalog.sqlite3") as database:
        database.execute(
            "INSERT INTO catalog_damagedblob (sha256, problem, message, found_at, attempts) "
            "VALUES ('ab', 'corrupt', 'rot', '2024-01-01', 0)"
        )
    status, found = examine(tmp_path, *data)
    assert status == 1
    assert "1 blobs are damaged" in told(found, "stored bytes")

    (folder / "ca" / "ca.pem").write_text("no certificate")
    status, found = examine(tmp_path, *data)
    assert "not PEM" in told(found, "CA")


def test_through_the_mirror_itself_nothing_can_be_downloaded(tmp_path, data):
    status, found = examine(tmp_path, *data, environment={"https_proxy": f"http://{data[3]}"})
    assert status == 1
    assert "which is this mirror" in told(found, "upstreams")
