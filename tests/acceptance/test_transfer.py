"""From one machine to a database server and an object store, killed on the way, and nothing is lost."""

import fcntl
import json
import os
import pty
import random
import re
import secrets
import sqlite3
import struct
import subprocess
import termios
import time

import pytest

from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import PROGRAM, RunningMirror, clean_environment
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.registry_server import RegistryServer
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

FILES = {f"/{number}": random.Random(number).randbytes(200_000 + number) for number in range(60)}


@pytest.fixture
def database():
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def filled(tmp_path, ceph_gateway):
    """A mirror on SQLite and a folder, with files, an image, misses and an audit trail; stopped."""
    (tmp_path / "old").mkdir()
    with (
        UpstreamServer(routes={path: file(content) for path, content in FILES.items()}) as upstream,
        RegistryServer() as registry,
    ):
        led = {"up.test": upstream.port, "registry.test": registry.port}
        environment = {"DISTFILE_MIRROR_PLAIN_HTTP_REGISTRIES": "registry.test"}
        with RunningMirror(tmp_path / "old", upstream=led, environment=environment) as mirror:
            mirror.add(*(f"http://up.test{path}" for path in FILES))
            image = registry.push_image("team/app", [b"layer"])
            declare = ["add-image", f"registry.test/team/app@{image['digest']}", "--project", "p", "--reason", "r"]
            mirror.run(*declare, "--wait", "--timeout", "60")
            mirror.digest = image["digest"]
            yield mirror


class Target:
    def __init__(self, folder, database, gateway):
        self.folder = folder
        self.database_url = database.create_database("moved")
        self.bucket = gateway.make_bucket(f"transfer-{secrets.token_hex(4)}")
        self.environment = {
            "AWS_ENDPOINT_URL": gateway.endpoint,
            "AWS_ACCESS_KEY_ID": gateway.access_key,
            "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
            "AWS_ALLOW_HTTP": "true",
        }
        self.places = ["--database-url", self.database_url, "--blobs-url", f"s3://{self.bucket}/mirror"]

    def arguments(self, mirror):
        to = ["--to-database-url", self.database_url, "--to-blobs-url", f"s3://{self.bucket}/mirror"]
        return ["transfer", "--data-dir", mirror.data, *to]

    def transfer(self, mirror, **more):
        return command(self.folder, *self.arguments(mirror), environment=self.environment, **more)


@pytest.fixture
def target(tmp_path, database, ceph_gateway):
    return Target(tmp_path, database, ceph_gateway)


def test_killed_again_and_again_it_brings_everything(filled, target, tmp_path):
    refused = target.transfer(filled, check=False)
    assert refused.returncode == 2 or "another `distfile-mirror serve` runs" in refused.stderr
    before = filled.api("/overview")
    filled.stop()

    chance = random.Random(7)
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(
            [PROGRAM, *map(str, target.arguments(filled))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(**target.environment),
        )
        try:
            process.wait(1 + 2 * chance.random())
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills
    done = json.loads(target.transfer(filled).stdout)
    assert done["problems"] == {}
    assert done["copied_blobs"] + done["blobs_there"] == len(FILES) + 2
    assert done["rows"] == done["all_rows"]
    again = json.loads(target.transfer(filled).stdout)
    assert (again["copied_blobs"], again["blobs_there"]) == (0, len(FILES) + 2)

    data = ["--data-dir", tmp_path / "new", "--ca-dir", filled.data / "ca"]
    proxy = Component(tmp_path, "proxy", "web-proxy", *data, *target.places, environment=target.environment)
    admin = Component(tmp_path, "admin", "web-admin", *data, *target.places, environment=target.environment)
    try:
        proxy.listen("--proxy-listen").start().wait_until_up()
        admin.listen("--admin-listen").start().wait_until_up()
        for path, content in FILES.items():
            assert get(proxy, f"http://up.test{path}")[2] == content
        assert api(admin, "/overview")[1] == before
        assert len(api(admin, "/images")[1]["images"]) == 1
        new = {"uri": "http://up.test/new", "project": "tests", "reason": "after the move"}
        assert api(admin, "/files", new)[0] == 201  # keys go on after those that came
        assert command(tmp_path, "verify", *data[:2], *target.places, environment=target.environment).returncode == 0
    finally:
        proxy.stop()
        admin.stop()


def test_what_is_damaged_is_told_and_the_rest_is_brought(filled, target):
    filled.stop()
    blob = next((filled.data / "blobs" / "sha256").glob("*/*"))
    blob.chmod(0o644)
    blob.write_bytes(b"rot")
    done = target.transfer(filled, check=False)
    assert done.returncode == 1
    assert list(json.loads(done.stdout)["problems"]) == [blob.name]


def test_a_target_that_is_somebody_elses_is_refused(filled, target, tmp_path):
    filled.stop()
    command(tmp_path, "migrate", "--database-url", target.database_url)
    other = tmp_path / "other"
    other.mkdir()
    with RunningMirror(other, flags=["--database-url", target.database_url]) as mirror:
        mirror.add("http://else.test/x", wait=False)
    done = target.transfer(filled, check=False)
    assert done.returncode == 1
    assert "another installation" in done.stderr


def test_a_source_that_is_written_to_is_refused(filled, target):
    filled.stop()
    with sqlite3.connect(filled.data / "catalog.sqlite3", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        done = target.transfer(filled, check=False)
        assert time.monotonic() - begun < 40
    assert done.returncode == 1
    assert "is in use" in done.stderr


COLUMNS = 80


def on_terminal(arguments, environment):
    """Run a command of the product on a terminal of 80 columns; return its exit status and what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=clean_environment(**{**environment, "TERM": "xterm-256color"}),
    )
    os.close(theirs)
    written = b""
    try:
        while more := os.read(ours, 1 << 16):
            written += more
    except OSError:  # what Linux gives in place of an end
        pass
    finally:
        os.close(ours)
    return process.wait(60), written.decode()


def shown(written):
    """Return what is read on the terminal in the end, and the lines of each bar as they were shown meanwhile."""
    lines, row, seen = [""], 0, []
    for escape, text in re.findall(r"\x1b\[(\??[0-9;]*[A-Za-z])|([^\x1b]+)", written):
        if escape == "2K":
            seen.append(lines[row])
            lines[row] = ""
        elif escape.endswith("A"):
            row -= int(escape[:-1] or 1)
        for part in re.findall(r"[^\r\n]+|\r|\n", text):
            if part == "\n":
                seen.append(lines[row])
                row += 1
                lines += [""] * (row == len(lines))
            elif part != "\r":
                lines[row] += part
    return [line for line in lines if line], seen


def test_on_a_terminal_bars_show_how_far_it_is(filled, target):
    filled.stop()
    status, written = on_terminal(target.arguments(filled), target.environment)
    assert status == 0, written
    left, seen = shown(written)
    assert [line.partition(" (")[0] for line in left] == [
        f"{len(FILES) + 2} blobs copied",
        f"The CA and the key of cookies stay in {filled.data}: take ca/ and secret-key along.",
    ]
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor is there again
    bars = [line for line in seen if "━" in line]
    assert max(map(len, bars)) <= COLUMNS
    blobs, rows = (
        [tuple(map(int, found.groups())) for line in bars if (found := re.match(rf"{name} +\S+ +(\d+)/(\d+) ", line))]
        for name in ("blobs", "catalog")
    )
    assert {whole for _done, whole in blobs} == {len(FILES) + 2}
    assert len({whole for _done, whole in rows}) == 1
    for counts in (blobs, rows):
        done = [done for done, _whole in counts]
        assert done == sorted(done)
        assert len(set(done)) > 1
        assert counts[-1][0] == counts[-1][1]
