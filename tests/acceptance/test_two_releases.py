"""Components of two releases on one database: four processes are never replaced at the same moment (ADR 0015)."""

import subprocess
import sys
import time

import pytest

from tests.acceptance.pages import ROOT
from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import clean_environment
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

# The last commit before the migrations of this release; to be moved on when it is out.
PREVIOUS = "442db04561d4fc29f7a7521123f3f15e7ba79098"
USE = {"project": "tests", "reason": "to see it work"}


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
    """Components of either release on one folder."""

    def __init__(self, folder, previous, upstream):
        self.folder = folder
        self.data = ["--data-dir", folder / "data"]
        self.old = {"PYTHONPATH": str(previous)}
        self._downloads = ["--allow-network", "127.0.0.0/8", "--connect-to", f"up.test::127.0.0.1:{upstream.port}"]
        self._running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for component in self._running:
            component.stop()

    def migrate_by_the_old_release(self):
        subprocess.run(
            [sys.executable, "-m", "distfile_mirror", "migrate", *map(str, self.data)],
            env=clean_environment(**self.old),
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def start(self, release, name, *arguments, listen=None):
        environment = self.old if release == "old" else {}
        # The program of the environment is the new one's; as a module it is whichever comes first in the path.
        component = Component(self.folder, f"{release}-{name}", name, *self.data, *arguments, environment=environment)
        component._command[0:1] = [sys.executable, "-m", "distfile_mirror"]
        if listen:
            component.listen(listen)
        component.start()
        self._running.append(component)
        return component.wait_until_up() if listen else component

    def start_all(self, release):
        proxy = self.start(release, "web-proxy", "--workers", "1", listen="--proxy-listen")
        admin = self.start(release, "web-admin", listen="--admin-listen")
        return proxy, admin, self.start(release, "cron-download-files", "--watch", *self._downloads)


@pytest.fixture
def installation(tmp_path, previous):
    routes = {f"/{number}": file(f"file {number}\n".encode()) for number in range(9)}
    with UpstreamServer(routes=routes) as upstream, Installation(tmp_path, previous, upstream) as running:
        command(tmp_path, "ca", "init", *running.data)
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


def test_the_release_before_on_the_new_schema_and_both_at_once(installation):
    command(installation.folder, "migrate", *installation.data)
    old_proxy, old_admin, old_files = installation.start_all("old")
    assert_it_works([old_proxy], [old_admin], 0)
    new_proxy, new_admin, _new_files = installation.start_all("new")
    assert_it_works([old_proxy, new_proxy], [old_admin, new_admin], 1)
    old_files.stop()
    assert_it_works([old_proxy, new_proxy], [old_admin, new_admin], 3)
    assert "upstream" in api(new_admin, "/files/1")[1]
    assert "upstream" not in api(old_admin, "/files/1")[1]  # it really is the other one


def test_this_release_on_the_schema_before(installation):
    installation.migrate_by_the_old_release()
    proxy, admin, _files = installation.start_all("new")
    assert_it_works([proxy], [admin], 0)
    assert "until `distfile-mirror migrate` was run" in proxy.log.read_text()
    assert api(admin, "/files?upstream=gone")[1]["files"] == []
    assert api(admin, "/overview")[0] == 200
    refused = command(installation.folder, "verify", *installation.data, check=False)
    assert refused.returncode == 1
    assert "distfile-mirror migrate" in refused.stderr

    command(installation.folder, "migrate", *installation.data)
    assert command(installation.folder, "verify", *installation.data).returncode == 0
    assert_it_works([proxy], [admin], 1)
    logs = "".join(path.read_text() for path in installation.folder.glob("*.log"))
    assert "Traceback" not in logs
