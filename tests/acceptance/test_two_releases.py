"""Components of two releases on one database: four processes are never replaced at the same moment (ADR 0015)."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.acceptance.pages import ROOT
from tests.acceptance.running_components import Component, api, get
from tests.acceptance.running_mirror import clean_environment
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

# The last commit before the migrations of this release; to be moved on when it is out.
PREVIOUS = "442db04561d4fc29f7a7521123f3f15e7ba79098"
USE = {"project": "tests", "reason": "to see it work"}
# Those of the release before, which has no others; on PostgreSQL each signs in as a user of its own.
ROLES = {
    "web-proxy": "proxy",
    "web-admin": "admin",
    "cron-download-files": "files",
    "cron-download-containers": "containers",
}


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """The code of the release before, in a folder."""
    folder = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(["git", "archive", PREVIOUS, "src"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        skip("this is no clone with its history, which has the release before: git clone without --depth")
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder / "src"


class Installation:
    """Components of either release on one folder, and on ``database`` or SQLite in the folder."""

    def __init__(self, folder, previous, upstream, database):
        self.folder = folder
        self.database = database
        self._data = ["--data-dir", folder / "data"]
        self._old = {"PYTHONPATH": str(previous)}
        self._downloads = ["--allow-network", "127.0.0.0/8", "--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        self._running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for component in self._running:
            component.stop()

    def run(self, release, *arguments, check=True):
        """Run a command of a release, with all rights on the database."""
        done = subprocess.run(
            [*self._program(), *map(str, (*arguments, *self._data))],
            env=clean_environment(**self._environment(release, "postgres")),
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def install_the_old_release(self):
        self.run("old", "ca", "init")
        self.run("old", "migrate")
        if self.database:
            self.grant("old")
            for role in ROLES.values():
                self.database.sql(f"CREATE USER {role} IN ROLE distfile_mirror_{role}", "mirror")

    def grant(self, release):
        """Let components do what this release knows of, where a database has rights."""
        if self.database:
            self.database.sql(self.run(release, "migrate", "--print-grants").stdout, "mirror")

    def start(self, release, name, *arguments, listen=None):
        environment = self._environment(release, ROLES[name])
        component = Component(self.folder, f"{release}-{name}", name, *self._data, *arguments, environment=environment)
        component._command[0:1] = self._program()
        if listen:
            component.listen(listen)
        component.start()
        self._running.append(component)
        return component.wait_until_up() if listen else component

    def start_all(self, release):
        proxy = self.start(release, "web-proxy", "--workers", "1", listen="--proxy-listen")
        admin = self.start(release, "web-admin", listen="--admin-listen")
        return proxy, admin, self.start(release, "cron-download-files", "--watch", *self._downloads)

    def count_uris(self):
        """Count the rows of what this release searches, which each file added by either must be in."""
        if self.database:
            return int(self.database.sql("SET ROLE admin; SELECT count(*) FROM catalog_fileuri", "mirror"))
        matches = "SELECT count(*) FROM catalog_fileuri_trigrams WHERE catalog_fileuri_trigrams MATCH 'tes'"
        with closing(sqlite3.connect(self.folder / "data" / "catalog.sqlite3")) as connection:
            return connection.execute(matches).fetchone()[0]

    def logs(self):
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def _program(self):
        # The program of the environment is the new one's; as a module it is whichever comes first in the path.
        return [sys.executable, "-m", "distfile_mirror"]

    def _environment(self, release, user):
        environment = self._old if release == "old" else {}
        if self.database:
            return {**environment, "DISTFILE_MIRROR_DATABASE_URL": self.database.url("mirror", user)}
        return environment


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    if request.param == "sqlite":
        yield None
        return
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    with PostgresqlServer() as server:
        server.create_database("mirror")
        yield server


@pytest.fixture
def installation(tmp_path, previous, database):
    routes = {f"/{number}": file(f"file {number}\n".encode()) for number in range(9)}
    with UpstreamServer(routes=routes) as upstream, Installation(tmp_path, previous, upstream, database) as running:
        running.install_the_old_release()
        yield running


def assert_it_works(proxies, admins, number):
    """Declare by each admin, and get by each proxy what comes."""
    for offset, admin in enumerate(admins):
        uri = f"http://up.test/{number + offset}"
        status, declared = api(admin, "/files", {"uri": uri, **USE})
        assert status == 201, declared
        until = time.monotonic() + 20
        while api(admin, f"/files/{declared['id']}")[1]["state"] != "present":
            assert time.monotonic() < until
            time.sleep(0.1)
        for proxy in proxies:
            assert get(proxy, uri)[2] == f"file {number + offset}\n".encode()


def assert_found(admins, *numbers):
    """Search for a part of the addresses of files that are there, by each admin."""
    for admin in admins:
        for order in ("newest", "oldest"):
            status, found = api(admin, f"/files?q=P.test/&order={order}")
            assert status == 200
            assert sorted(one["uri"] for one in found["files"]) == [f"http://up.test/{number}" for number in numbers]


def test_the_release_before_on_the_new_schema_and_both_at_once(installation):
    installation.run("new", "migrate")
    old_proxy, old_admin, old_files = installation.start_all("old")
    assert_it_works([old_proxy], [old_admin], 0)
    new_proxy, new_admin, _new_files = installation.start_all("new")
    proxies, admins = [old_proxy, new_proxy], [old_admin, new_admin]
    assert_found(admins, 0)
    assert_it_works(proxies, admins, 1)
    assert_found(admins, 0, 1, 2)
    assert installation.count_uris() == 3  # so it is this that the new one searches
    installation.grant("new")
    assert_it_works(proxies, admins, 3)
    old_files.stop()
    assert_it_works(proxies, admins, 5)
    assert_found(admins, *range(7))
    assert "upstream" in api(new_admin, "/files/1")[1]
    assert "upstream" not in api(old_admin, "/files/1")[1]  # it really is the other one
    assert "Traceback" not in installation.logs()
    assert "permission denied" not in installation.logs()


def test_this_release_on_the_schema_before(installation):
    proxy, admin, _files = installation.start_all("new")
    assert_it_works([proxy], [admin], 0)
    assert "until `distfile-mirror migrate` was run" in proxy.log.read_text()
    assert api(admin, "/files?upstream=gone")[1]["files"] == []
    assert api(admin, "/overview")[0] == 200
    assert_found([admin], 0)
    refused = installation.run("new", "verify", check=False)
    assert refused.returncode == 1
    assert "distfile-mirror migrate" in refused.stderr

    installation.run("new", "migrate")
    installation.grant("new")
    installation.run("new", "verify")
    assert_it_works([proxy], [admin], 1)
    assert_found([admin], 0, 1)
    assert installation.count_uris() == 2
    assert "Traceback" not in installation.logs()
    assert "permission denied" not in installation.logs()
