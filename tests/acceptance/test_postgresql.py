"""The four components on a real PostgreSQL, each signed in as a user that may do what it must and no more."""

import hashlib
import json
import subprocess
import threading
import time
from collections import Counter

import pytest

from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import clean_environment
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.registry_server import RegistryServer, blob, digest_of
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

ROLES = ("proxy", "admin", "files", "containers")
USE = {"project": "tests", "reason": "to see it work"}


@pytest.fixture
def database():
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    with PostgresqlServer() as server:
        server.create_database("mirror")
        yield server


class Installation:
    """All four components, with users of their own, on ``database``."""

    def __init__(self, folder, database, upstream, registry):
        self.database = database
        self.folder, self.data = folder, folder / "data"
        owner = ["--data-dir", folder / "data", "--database-url", database.url("mirror")]
        command(folder, "ca", "init", "--data-dir", folder / "data", "--ca-dir", folder / "authority")
        command(folder, "migrate", *owner)
        database.sql(command(folder, "migrate", "--print-grants", *owner).stdout, "mirror")
        for role in ROLES:
            database.sql(f"CREATE USER {role} IN ROLE distfile_mirror_{role}", "mirror")
        downloads = ["--allow-network", "127.0.0.0/8", "--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        downloads += ["--connect-to", f"registry.test::127.0.0.1:{registry.port}", "--watch"]

        def component(name, role, *arguments):
            environment = {"DISTFILE_MIRROR_DATABASE_URL": database.url("mirror", role)}
            environment["DISTFILE_MIRROR_PLAIN_HTTP_REGISTRIES"] = "registry.test"
            return Component(folder, name, name, "--data-dir", folder / "data", *arguments, environment=environment)

        self.proxy = component("web-proxy", "proxy", "--workers", "1", "--ca-dir", folder / "authority")
        self.proxy.listen("--proxy-listen")
        self.admin = component("web-admin", "admin", "--ca-dir", folder / "authority").listen("--admin-listen")
        self.files = component("cron-download-files", "files", *downloads)
        self.containers = component("cron-download-containers", "containers", *downloads)
        self.components = [self.proxy, self.admin, self.files, self.containers]

    def __enter__(self):
        for each in self.components:
            each.start()
        self.proxy.wait_until_up()
        self.admin.wait_until_up()
        return self

    def __exit__(self, *_):
        for each in self.components:
            each.stop()

    def verify(self):
        """Return the exit status, and how many blobs were found damaged."""
        environment = {"DISTFILE_MIRROR_DATABASE_URL": self.database.url("mirror", "files")}
        arguments = ("verify", "--rate", "0", "--data-dir", self.data)
        done = command(self.folder, *arguments, check=False, environment=environment)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["damaged"]

    def blob(self, content):
        """Return where the store has ``content``."""
        sha256 = hashlib.sha256(content).hexdigest()
        return self.data / "blobs" / "sha256" / sha256[:2] / sha256

    def noted(self, downloaders):
        """Tell whether one of ``downloaders``, a folder, notes something that is not recorded."""
        return any(path.stat().st_size for path in (self.data / "run" / downloaders).iterdir())

    def wait_for(self, path, state="present"):
        until = time.monotonic() + 30
        while True:
            status, document = api(self.admin, path)
            if status == 200 and document["state"] == state:
                return document
            assert time.monotonic() < until, document
            time.sleep(0.05)


def wait_until(holds):
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def upstream():
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def registry():
    with RegistryServer() as server:
        yield server


@pytest.fixture
def installation(tmp_path, database, upstream, registry):
    with Installation(tmp_path, database, upstream, registry) as running:
        yield running


def test_four_components_with_four_roles(installation, upstream, registry):
    upstream.routes["/a"] = file(b"bytes of a\n")
    status, declared = api(installation.admin, "/files", {"uri": "http://up.test/a", **USE})
    assert status == 201
    installation.wait_for(f"/files/{declared['id']}")
    assert get(installation.proxy, "http://up.test/a")[2] == b"bytes of a\n"

    image = registry.push_image("team/app", [b"layer"])
    reference = f"registry.test/team/app@{image['digest']}"
    status, declared = api(installation.admin, "/images", {"reference": reference, **USE})
    assert status == 201, declared
    installation.wait_for(f"/images/{declared['id']}")
    address = f"http://127.0.0.1:{installation.proxy.port}/v2/registry.test/team/app/manifests/{image['digest']}"
    pulled = subprocess.run(
        ["curl", "-sSf", "--noproxy", "*", address], capture_output=True, env=clean_environment(), check=False
    )
    assert pulled.returncode == 0, pulled.stderr
    assert b"schemaVersion" in pulled.stdout

    assert get(installation.proxy, "http://up.test/missing")[0] == 404
    until = time.monotonic() + 15
    while not api(installation.admin, "/misses")[1]["misses"]:
        assert time.monotonic() < until
        time.sleep(0.2)
    for component in installation.components:
        assert "permission denied" not in component.log.read_text(), component.name


def test_verify_works_with_the_role_of_the_files(installation, upstream):
    upstream.routes["/a"] = file(b"bytes of a\n")
    status, declared = api(installation.admin, "/files", {"uri": "http://up.test/a", **USE})
    assert status == 201
    sha256 = installation.wait_for(f"/files/{declared['id']}")["sha256"]
    blob = installation.data / "blobs" / "sha256" / sha256[:2] / sha256
    assert installation.verify() == (0, 0)
    blob.unlink()
    assert installation.verify() == (1, 1)
    until = time.monotonic() + 30
    while not blob.exists():  # the downloader repairs it
        assert time.monotonic() < until, installation.files.log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("proxy", "UPDATE catalog_file SET uri = ''"),
        ("proxy", "INSERT INTO catalog_project (name, created_at) VALUES ('x', now())"),
        ("proxy", "SELECT * FROM mirror_admin_user"),
        ("proxy", "DROP TABLE catalog_hit"),
        ("proxy", "INSERT INTO catalog_fileuri VALUES (1, 'x')"),
        ("admin", "UPDATE catalog_fileuri SET uri = 'x'"),
        ("files", "DELETE FROM catalog_file"),
        ("files", "UPDATE catalog_image SET digest = ''"),
        ("containers", "UPDATE catalog_auditevent SET actor = ''"),
        ("admin", "DELETE FROM catalog_auditevent"),
        ("admin", "UPDATE catalog_auditevent SET actor = ''"),
        ("admin", "DELETE FROM catalog_file"),
        ("admin", "ALTER TABLE catalog_file ADD COLUMN x int"),
    ],
)
def test_what_roles_may_not(granted, role, statement):
    asked = f"SET ROLE distfile_mirror_{role}; {statement}"
    with pytest.raises(AssertionError, match=r"permission denied|must be owner"):
        granted.sql(asked, "mirror")


@pytest.fixture(scope="module")
def granted(tmp_path_factory):
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    folder = tmp_path_factory.mktemp("granted")
    with PostgresqlServer() as server:
        url = server.create_database("mirror")
        flags = ["--data-dir", folder, "--database-url", url]
        command(folder, "migrate", *flags)
        for _ in range(2):  # again does no harm
            server.sql(command(folder, "migrate", "--print-grants", *flags).stdout, "mirror")
        yield server


def test_grants_that_are_taken_and_given_again_cost_no_restart(installation, upstream, tmp_path):
    database = installation.database
    database.sql("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM distfile_mirror_files", "mirror")
    until = time.monotonic() + 20
    while "the database refuses" not in installation.files.log.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    flags = ["--data-dir", tmp_path / "data", "--database-url", database.url("mirror")]
    database.sql(command(tmp_path, "migrate", "--print-grants", *flags).stdout, "mirror")
    upstream.routes["/a"] = file(b"bytes of a\n")
    _status, declared = api(installation.admin, "/files", {"uri": "http://up.test/a", **USE})
    installation.wait_for(f"/files/{declared['id']}")
    assert installation.files.is_running()
    assert "Traceback" not in installation.files.log.read_text()


def test_a_database_that_goes_away_and_comes_back(installation, upstream):
    upstream.routes["/a"] = file(b"a\n")
    upstream.routes["/b"] = file(b"b\n")
    for name in "ab":
        _status, declared = api(installation.admin, "/files", {"uri": f"http://up.test/{name}", **USE})
        installation.wait_for(f"/files/{declared['id']}")
    assert get(installation.proxy, "http://up.test/a")[2] == b"a\n"

    installation.database.stop("immediate")
    assert get(installation.proxy, "http://up.test/a")[2] == b"a\n"
    status, headers, body = get(installation.proxy, "http://up.test/b")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert b"database does not answer" in body
    assert api(installation.admin, "/files")[0] == 503
    assert get(installation.proxy, f"{installation.proxy.url}/health")[0] == 503

    installation.database.start()
    assert get(installation.proxy, "http://up.test/b")[2] == b"b\n"
    upstream.routes["/c"] = file(b"c\n")
    status, declared = api(installation.admin, "/files", {"uri": "http://up.test/c", **USE})
    assert status == 201, declared
    installation.wait_for(f"/files/{declared['id']}")
    assert all(component.is_running() for component in installation.components)
    assert "Traceback" not in "".join(component.log.read_text() for component in installation.components)


def test_a_proxy_that_starts_while_the_database_is_away_serves_what_it_served_before(installation, upstream):
    contents = {name: name.encode() * 100_000 for name in "abc"}
    for name, content in contents.items():
        upstream.routes[f"/{name}"] = file(content)
        _status, declared = api(installation.admin, "/files", {"uri": f"http://up.test/{name}", **USE})
        installation.wait_for(f"/files/{declared['id']}")
    proxy = installation.proxy
    assert get(proxy, "http://up.test/a")[2] == contents["a"]
    assert get(proxy, "http://up.test/b")[2] == contents["b"]
    time.sleep(2)  # what was served is noted every second
    proxy.kill()
    installation.database.stop("immediate")

    proxy.start().wait_until_up("/ca.pem")
    for _ in range(2):
        assert get(proxy, "http://up.test/a")[2] == contents["a"]
        assert get(proxy, "http://up.test/b")[2] == contents["b"]
        status, headers, _body = get(proxy, "http://up.test/c")
        assert (status, headers["Retry-After"]) == (503, "5")

    installation.database.start()
    proxy.wait_until_up()
    assert get(proxy, "http://up.test/c")[2] == contents["c"]
    assert "Traceback" not in proxy.log.read_text()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_fetched_while_the_database_was_away_is_not_fetched_again(installation, upstream, registry, end):
    """Whoever fetched it ends before the database is back, and the next one records it."""
    contents = [b"bytes of a file\n", b"bytes of a layer\n" * 1000]
    image = registry.push_image("team/app", [contents[1]])
    gates = {"/a": threading.Event(), f"/v2/team/app/blobs/{digest_of(contents[1])}": threading.Event()}
    handlers = [file(contents[0]), blob(contents[1])]
    for (target, gate), handler, server in zip(gates.items(), handlers, (upstream, registry), strict=True):
        places = upstream.routes if server is upstream else registry.faults
        places[target] = lambda exchange, gate=gate, handler=handler: (gate.wait(60), handler(exchange))
    asked = [
        api(installation.admin, "/files", {"uri": "http://up.test/a", **USE}),
        api(installation.admin, "/images", {"reference": f"registry.test/team/app@{image['digest']}", **USE}),
    ]
    assert [status for status, _document in asked] == [201, 201]
    targets = list(zip(gates, (upstream, registry), strict=True))
    wait_until(lambda: all(server.asked(target) for target, server in targets))
    installation.database.stop("immediate")
    for gate in gates.values():
        gate.set()
    wait_until(lambda: installation.noted("downloaders") and installation.noted("image-downloaders"))
    wait_until(lambda: all(installation.blob(content).exists() for content in contents))  # noted before it is stored
    for component in (installation.files, installation.containers):
        getattr(component, end)()
    installation.database.start()
    for component in (installation.files, installation.containers):
        component.start()
    for kind, (_status, document) in zip(("files", "images"), asked, strict=True):
        installation.wait_for(f"/{kind}/{document['id']}")
    assert get(installation.proxy, "http://up.test/a")[2] == contents[0]
    assert len(upstream.asked("/a")) == 1
    assert all(count == 1 for count in Counter(request.target for request in registry.requests).values())
    for component in (installation.files, installation.containers):
        assert "recorded what a dead downloader had fetched" in component.log.read_text()


def test_a_wrong_url_says_what_to_do_and_shows_no_password(tmp_path):
    for url, told in (
        ("postgresql://u:secret@127.0.0.1", "names no database"),
        ("mysql://u:secret@h/d", "is not a database URL"),
        ("postgresql://u:secret@h:port/d", "is not a database URL"),
    ):
        done = command(tmp_path, "migrate", "--database-url", url, check=False)
        assert done.returncode == 2
        assert told in done.stderr
        assert "postgresql://USER:PASSWORD@HOST/NAME" in done.stderr
        assert "secret" not in done.stderr
    done = command(tmp_path, "migrate", "--database-url", "postgresql://u:secret@127.0.0.1:1/d", check=False)
    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
