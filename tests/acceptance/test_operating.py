"""The pages on operating a mirror, followed line by line: back it up, lose it, get it back, rotate its CA."""

import hashlib
import json
import shutil

import pytest

from tests.acceptance.pages import Terminals, blocks
from tests.acceptance.running_mirror import PROGRAM
from tests.ports import free_port
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

ROTATE = "docs/howto/rotate-the-ca.md"
BACK_UP = "docs/howto/back-up-and-restore.md"
RECOVER = "docs/howto/recover-from-a-lost-database.md"
FOO = b"foo\n"
SAME = b"the same bytes\n"  # whose sha256 the page about the lost database has
DECLARE_FOO = "distfile-mirror add https://example.org/foo-1.2.tar.gz --project firmware --reason tests --wait"
CURL = "curl -sS --fail --proxy http://127.0.0.1:3128 https://example.org/foo-1.2.tar.gz"


@pytest.fixture
def upstream(authority):
    routes = {"/foo-1.2.tar.gz": file(FOO), "/bar-3.0.tar.gz": file(FOO)}
    with UpstreamServer(authority.server_context("example.org"), routes=routes) as server:
        yield server


@pytest.fixture
def terminal(tmp_path, upstream, authority):
    led = {"example.org": upstream.port}
    with Terminals(tmp_path, upstream=led, upstream_ca=authority.ca_file, path=[PROGRAM.parent]) as running:
        yield running


def needs(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        skip(f"{', '.join(missing)} missing: apt-get install {' '.join(missing)}")


def fingerprint(terminal):
    return json.loads(terminal.run("distfile-mirror ca show --json"))["sha256_fingerprint"]


def get_foo(terminal, authority="data/ca/ca.pem", *, name="foo-1.2"):
    return terminal.run(f"{CURL.replace('foo-1.2', name)} --cacert {authority}").encode()


def verified(told):
    """Return how many blobs `verify` has read, and how many are damaged."""
    summary = json.loads(next(line for line in told.splitlines() if '"damaged_now"' in line))
    assert summary["finished"]
    return summary["blobs"], summary["damaged_now"]


def test_rotate_the_ca(terminal):
    terminal.run("distfile-mirror serve")
    terminal.run(DECLARE_FOO)
    before = fingerprint(terminal)
    shutil.copy(terminal.folder / "data" / "ca" / "ca.pem", terminal.folder / "old-ca.pem")
    prepare, export, activate, finish = blocks(ROTATE)
    terminal.run(prepare)
    terminal.run(export)
    assert (terminal.folder / "mirror-ca.pem").read_text().count("BEGIN CERTIFICATE") == 2
    terminal.run(activate)
    assert fingerprint(terminal) != before
    terminal.run(f"until {CURL} --cacert data/ca/ca.pem --output /dev/null; do sleep 0.2; done")
    # OpenSSL follows the signature of the CA before under its successor's key.
    for known in ("mirror-ca.pem", "old-ca.pem"):
        assert get_foo(terminal, known) == FOO
    assert "offered to nobody any more" in terminal.run(finish)


def test_back_up_and_restore(terminal, upstream):
    needs("sqlite3", "rsync")
    back_up, restore, serve, *_ = blocks(BACK_UP)
    terminal.run("distfile-mirror serve")
    terminal.run(DECLARE_FOO)
    before = fingerprint(terminal)
    terminal.run(back_up)
    terminal.run(f"{DECLARE_FOO.replace('foo-1.2', 'bar-3.0')}\n{back_up}")  # the second time adds to the first
    terminal.stop()
    shutil.rmtree(terminal.folder / "data")
    upstream.routes.clear()
    assert verified(terminal.run(restore)) == (1, 0)  # both files have the same bytes
    terminal.run(serve)
    assert fingerprint(terminal) == before
    assert get_foo(terminal) == FOO
    assert terminal.run("distfile-mirror list").count("present") == 2


def test_back_up_and_restore_with_postgresql(terminal, upstream):
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    back_up, restore = blocks(BACK_UP)[3:]
    with PostgresqlServer() as server:
        server.create_database("mirror")
        url = server.url("mirror", host="127.0.0.1")
        connect, dump = back_up.splitlines()
        terminal.run(connect.replace("postgresql://mirror@db.example.org/mirror", url))
        terminal.run("distfile-mirror serve")
        terminal.run(DECLARE_FOO)
        terminal.run(dump)
        terminal.stop()
        server.sql("DROP DATABASE mirror WITH (FORCE)")
        server.create_database("mirror")
        upstream.routes.clear()
        assert verified(terminal.run(restore)) == (1, 0)
        assert "distfile_mirror_proxy" in server.sql("SELECT rolname FROM pg_roles")
        terminal.run("distfile-mirror serve")
        assert get_foo(terminal) == FOO
        terminal.stop()


def test_recover_from_a_lost_database(terminal, upstream):
    needs("sqlite3", "rsync")
    upstream.routes["/gone-1.0.tar.gz"] = file(SAME)
    lose, restore, serve, stored_since, again, unearth = blocks(RECOVER)
    terminal.run("distfile-mirror serve")
    terminal.run(DECLARE_FOO)
    terminal.run(blocks(BACK_UP)[0])
    for name in ("bar-3.0", "gone-1.0"):
        terminal.run(DECLARE_FOO.replace("foo-1.2", name))
    terminal.stop()
    (terminal.folder / "data" / "catalog.sqlite3").write_bytes(b"not a database any more")
    del upstream.routes["/gone-1.0.tar.gz"]
    terminal.run(lose)
    assert verified(terminal.run(restore)) == (1, 0)
    terminal.run(serve)
    listed = terminal.run(stored_since)
    assert listed == f"{hashlib.sha256(SAME).hexdigest()} {len(SAME)}\n"
    assert "is present" in terminal.run(again)
    assert "is present" in terminal.run(unearth.replace("8008", str(free_port())))
    for name, content in (("foo-1.2", FOO), ("bar-3.0", FOO), ("gone-1.0", SAME)):
        assert get_foo(terminal, name=name) == content
