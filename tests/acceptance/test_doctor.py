"""`doctor`, on what is fine and on what is broken in each part."""

import json
import socket
import sqlite3
import time

import pytest

from tests.acceptance.running_components import command
from tests.acceptance.running_mirror import RunningMirror
from tests.ports import free_port
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file


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


def test_a_database_without_tables_is_told_once(tmp_path, data):
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    with PostgresqlServer() as server:
        status, found = examine(tmp_path, *data, "--database-url", server.create_database("mirror"))
    assert status == 1
    assert "run `distfile-mirror migrate`" in told(found, "database")
    assert not {"downloads", "stored bytes"} & set(found)


def test_a_key_that_a_group_may_read_and_a_certificate_without_one(tmp_path, data):
    (tmp_path / "data" / "ca" / "ca.key").chmod(0o440)
    assert {level for level, _ in examine(tmp_path, *data)[1]["CA"]} == {"fine"}
    (tmp_path / "data" / "ca" / "ca.key").unlink()
    assert "certificate alone" in told(examine(tmp_path, *data)[1], "CA")


def test_what_waits_in_vain_and_that_nobody_may_administer(tmp_path, data):
    with sqlite3.connect(tmp_path / "data" / "catalog.sqlite3") as database:
        database.execute(
            "INSERT INTO catalog_file (uri, uri_key, host, state, message, due_at, lease_owner, attempts, "
            "received_bytes, created_at, expected, fallback_uris, sha256, digests, headers, final_uri) VALUES "
            "('http://up.test/a', x'00', 'up.test', 'pending', '', '2024-01-01', '', 0, 0, '2024-01-01', '{}', '[]', "
            "'', '{}', '{}', '')"
        )
    status, found = examine(tmp_path, *data, environment={"DISTFILE_MIRROR_SIGN_IN": "accounts"})
    assert "is cron-download-files at work?" in told(found, "downloads")
    assert "users add" in told(found, "administrators")
    assert status == 0


def test_an_openid_provider_that_is_not_there_or_is_called_otherwise(tmp_path, data):
    settings = {"DISTFILE_MIRROR_SIGN_IN": "oidc", "DISTFILE_MIRROR_OIDC_CLIENT_ID": "mirror"}
    settings |= {"DISTFILE_MIRROR_OIDC_CLIENT_SECRET": "secret", "DISTFILE_MIRROR_DEFAULT_ROLE": "viewer"}
    settings["DISTFILE_MIRROR_OIDC_ISSUER"] = "http://127.0.0.1:1"
    assert "does not answer" in told(examine(tmp_path, *data, environment=settings)[1], "sign-in")
    with UpstreamServer() as server:
        settings["DISTFILE_MIRROR_OIDC_ISSUER"] = issuer = f"http://127.0.0.1:{server.port}"
        for document, expected in (
            ({"issuer": issuer}, f"{issuer} answers"),
            ({"issuer": "https://elsewhere.test"}, "calls itself https://elsewhere.test"),
            ([], "is no configuration"),
        ):
            server.routes["/.well-known/openid-configuration"] = file(json.dumps(document).encode())
            assert expected in told(examine(tmp_path, *data, environment=settings)[1], "sign-in")


def test_through_the_mirror_itself_nothing_can_be_downloaded(tmp_path, data):
    status, found = examine(tmp_path, *data, environment={"https_proxy": f"http://{data[3]}"})
    assert status == 1
    assert "which is this mirror" in told(found, "upstreams")
