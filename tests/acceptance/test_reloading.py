"""Restarts and reloads under load: no request is lost that its client did not see refused before it was sent."""

import http.client
import os
import pty
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from itertools import product
from pathlib import Path

import pytest

from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import DIRECT, PROGRAM, RunningMirror, clean_environment
from tests.ports import free_port
from tests.upstream_server import UpstreamServer, file

SMALL = b"small\n"
LARGE = bytes(range(256)) * 4096 * 4  # 4 MiB
FILES = [f"{scheme}://up.test/{name}" for scheme in ("http", "https") for name in ("small", "large")]
# Eight: without and with TLS in a tunnel, by connections for one request and for many, for either file.
CLIENTS = tuple(product(("http", "https"), (False, True), (SMALL, LARGE)))


class Client(threading.Thread):
    """Asks for a file until told to stop; a new connection for each request, or one kept as long as it is kept."""

    def __init__(self, ports, trust, scheme, keeps, content):
        super().__init__(daemon=True, name=f"{scheme}, {'kept' if keeps else 'new'} connections")
        self._ports = ports
        self._trust = trust
        self._scheme = scheme
        self._keeps = keeps
        self._content = content
        self._enough = threading.Event()
        self._connection = None
        self.answers = 0
        self.refused = 0
        self.lost = []

    @property
    def is_slow(self):
        return self._content is LARGE

    def run(self):
        while not self._enough.is_set():
            self.ask(self._ports[self.answers % len(self._ports)])

    def ask(self, port):
        sent = False
        try:
            if self._connection is None:
                self._connection = self._new_connection(port)
                self._connection.connect()
            sent = True
            path = "/large" if self.is_slow else "/small"
            self._connection.request("GET", path if self._scheme == "https" else f"http://up.test{path}")
            answer = self._connection.getresponse()
            body = answer.read()
            assert (answer.status, body == self._content) == (200, True)
            self.answers += 1
            if not self._keeps or answer.will_close:
                self.close()
        except ConnectionRefusedError:
            assert not sent
            self.refused += 1
            self._connection = None
            time.sleep(0.05)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.lost.append(f"{self.name}: {error!r}")
            self.close()

    def _new_connection(self, port):
        """Return one that ``connect`` takes as far as the first request: a tunnel, and TLS in it, included."""
        if self._scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=self._trust)
        connection.set_tunnel("up.test", 443)
        return connection

    def close(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def finish(self):
        self._enough.set()
        self.join(30)
        self.close()


class Load:
    """Clients that ask the proxies at ``ports`` all the time. ``ca``: the file of the mirror's CA."""

    def __init__(self, ca, *ports):
        trust = ssl.create_default_context(cafile=ca)
        self._clients = [Client(ports, trust, *facts) for facts in CLIENTS]

    def __enter__(self):
        for client in self._clients:
            client.start()
        self.wait_for_answers()
        return self

    def __exit__(self, *_):
        for client in self._clients:
            client.finish()

    def wait_for_answers(self, more=20):
        """Wait until each client has got so many more."""
        wanted = [client.answers + (more if not client.is_slow else 3) for client in self._clients]
        until = time.monotonic() + 60
        while any(client.answers < least for client, least in zip(self._clients, wanted, strict=True)):
            assert time.monotonic() < until, [(client.answers, client.lost) for client in self._clients]
            time.sleep(0.02)

    @property
    def lost(self):
        return [error for client in self._clients for error in client.lost]

    @property
    def refused(self):
        return sum(client.refused for client in self._clients)


@pytest.fixture
def downloads(authority):
    """Flags for downloads of up.test, from one upstream for each scheme."""
    routes = {"/small": file(SMALL), "/large": file(LARGE)}
    with (
        UpstreamServer(routes=routes) as plain,
        UpstreamServer(authority.server_context("up.test"), routes=routes) as tls,
    ):
        ports = {80: plain.port, 443: tls.port}
        flags = [f"--connect-to=up.test:{port}:127.0.0.1:{led_to}" for port, led_to in ports.items()]
        yield ["--allow-network", "127.0.0.0/8", "--upstream-ca", str(authority.ca_file), *flags]


@pytest.fixture
def served(tmp_path, downloads):
    """`serve` with two files of either scheme."""
    configuration = tmp_path / "mirror.toml"
    configuration.write_text('local_user = "first"\n')
    flags = ["--workers", "2", "--config", str(configuration), *downloads]
    with RunningMirror(tmp_path, flags=flags) as mirror:
        mirror.configuration = configuration
        mirror.add(*FILES)
        yield mirror


def processes_of(mirror):
    """Return process id -> command line, of the children of `serve`."""
    return {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in mirror.descendants()}


def wait_until_all_are_new(mirror, old):
    until = time.monotonic() + 60
    while set(mirror.descendants()) & set(old) or len(mirror.descendants()) < len(old):
        assert time.monotonic() < until, mirror.log.read_text()
        time.sleep(0.05)


def test_a_reload_loses_no_request(served):
    with Load(served.ca, served.proxy_port) as load:
        for name in ("second", "third"):
            old = processes_of(served)
            served.configuration.write_text(f'local_user = "{name}"\n')
            served.process.send_signal(signal.SIGHUP)
            wait_until_all_are_new(served, old)
            load.wait_for_answers()
    assert load.lost == []
    assert load.refused == 0
    declared = served.run("add", "http://up.test/x", "--project", "p", "--reason", "r", "--json")
    assert '"declared_by": "third"' in declared.stdout.replace('":"', '": "')


def test_a_wrong_configuration_changes_nothing(served):
    old = processes_of(served)
    served.configuration.write_text('no_such_setting = "x"\n')
    served.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 10
    while "nothing changed" not in served.log.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "no_such_setting" in served.log.read_text()
    assert processes_of(served) == old


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A data folder with a CA and an empty database, to be copied."""
    folder = tmp_path_factory.mktemp("installed")
    command(folder, "ca", "init", "--data-dir", folder)
    command(folder, "migrate", "--data-dir", folder)
    return folder


@pytest.fixture
def two_proxies(tmp_path, installed, downloads):
    """Two proxies, one admin, one downloader, each a process of its own."""
    shutil.copytree(installed, tmp_path / "data")
    data = ["--data-dir", tmp_path / "data"]
    proxies = []
    for number in (1, 2):
        shared = ["--database-url", f"sqlite:///{tmp_path}/data/catalog.sqlite3", "--ca-dir", tmp_path / "data" / "ca"]
        folder = tmp_path / f"proxy{number}"
        folder.mkdir()
        (folder / "blobs").symlink_to(tmp_path / "data" / "blobs")
        proxy = Component(tmp_path, f"proxy{number}", "web-proxy", "--data-dir", folder, "--workers", "1", *shared)
        proxies.append(proxy.listen("--proxy-listen"))
    admin = Component(tmp_path, "admin", "web-admin", *data).listen("--admin-listen")
    downloader = Component(tmp_path, "files", "cron-download-files", *data, *downloads, "--watch")
    components = [admin, downloader, *proxies]
    try:
        for component in components:
            component.start()
        for component in (admin, *proxies):
            component.wait_until_up()
        for uri in FILES:
            status, _ = api(admin, "/files", {"uri": uri, "project": "p", "reason": "r"})
            assert status == 201
        until = time.monotonic() + 20
        while any(one["state"] != "present" for one in api(admin, "/files")[1]["files"]):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield admin, downloader, proxies
    finally:
        for component in components:
            component.stop()


def test_a_rolling_restart_of_proxies_loses_no_request(tmp_path, two_proxies):
    _admin, _downloader, proxies = two_proxies
    with Load(tmp_path / "data" / "ca" / "ca.pem", *(proxy.port for proxy in proxies)) as load:
        for _ in range(2):
            for proxy in proxies:
                assert proxy.stop() == 0
                proxy.start().wait_until_up()
                load.wait_for_answers(5)
    assert load.lost == []


def test_components_that_stand_alone_begin_anew_at_sighup(two_proxies):
    admin, downloader, proxies = two_proxies
    for component in (admin, downloader):
        before = component.process.pid
        log = component.log.read_text().count("beginning anew")
        component.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 20
        while component.log.read_text().count("beginning anew") == log:
            assert time.monotonic() < until, component.log.read_text()
            if component is admin:  # nobody is turned away meanwhile
                socket.create_connection(("127.0.0.1", admin.port), 5).close()
            time.sleep(0.05)
        assert component.is_running()
        assert component.process.pid == before
    status, _ = api(admin, "/files", {"uri": "http://up.test/small", "project": "q", "reason": "r"})
    assert status == 200
    status, declared = api(admin, "/files", {"uri": "http://up.test/small?again", "project": "q", "reason": "r"})
    assert status == 201, declared
    until = time.monotonic() + 20
    while api(admin, f"/files/{declared['id']}")[1]["state"] not in {"present", "failed"}:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert all(proxy.is_running() for proxy in proxies)


@pytest.fixture
def configure(tmp_path, installed):
    """Return what gives a component a configuration: it is started with it, or told to read it by SIGHUP."""
    shutil.copytree(installed, tmp_path / "data")
    started = []

    def begin(component, **settings):
        (tmp_path / "mirror.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
        if component.is_running():
            component.process.send_signal(signal.SIGHUP)
        else:
            started.append(component.start())

    yield begin
    for component in started:
        component.stop()


def component_with_file(folder, name, *arguments):
    return Component(folder, name, name, "--data-dir", "data", "--config", "mirror.toml", *arguments)


def page_of_miss(proxy):
    return get(proxy, "http://up.test/missing")[2]


def page_of_setup(admin):
    with DIRECT.open(f"{admin.url}/setup", timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize(
    ("name", "setting", "page"),
    [("web-proxy", "admin_url", page_of_miss), ("web-admin", "proxy_url", page_of_setup)],
)
def test_what_sighup_changes_is_on_the_next_page(tmp_path, configure, name, setting, page):
    component = component_with_file(tmp_path, name).listen(f"--{name.removeprefix('web-')}-listen")
    pids = set()
    for number in range(3):
        configure(component, **{setting: f"http://number-{number}.test"})
        component.wait_until_up()
        until = time.monotonic() + 20
        while (shown := [other for other in range(3) if b"//number-%d.test" % other in page(component)]) != [number]:
            assert time.monotonic() < until, (shown, component.log.read_text())
            time.sleep(0.05)
        pids.add(component.process.pid)
        assert component.is_running()
    assert len(pids) == 1


@pytest.mark.parametrize("name", ["cron-download-files", "cron-download-containers", "verify"])
def test_what_sighup_changes_is_where_metrics_are(tmp_path, configure, name):
    component = component_with_file(tmp_path, name, "--watch")
    ports = [free_port() for _ in range(3)]
    pids = set()
    for number, port in enumerate(ports):
        component.port = port
        configure(component, metrics_listen=f"127.0.0.1:{port}")
        component.wait_until_up()
        pids.add(component.process.pid)
        for left in ports[:number]:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", left), 5)
    assert len(pids) == 1


@pytest.mark.parametrize("name", ["cron-download-files", "verify"])
def test_sighup_is_heard_by_who_begins_anew_just_now(tmp_path, configure, name):
    component = component_with_file(tmp_path, name, "--watch")
    for times in range(3):
        component.port = free_port()
        configure(component, metrics_listen=f"127.0.0.1:{component.port}")
        if not times:
            component.wait_until_up()
        until = time.monotonic() + 20
        while component.log.read_text().count("beginning anew") < times:
            assert time.monotonic() < until, component.log.read_text()
            assert component.is_running()
            time.sleep(0.001)
    component.wait_until_up()


def holds_back_or_hears_sighup(pid):
    """Tell whether SIGHUP is no longer the end of a process. Raises OSError if it is gone."""
    masks = re.findall(r"^Sig(?:Blk|Cgt):\s(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) & 1 << signal.SIGHUP - 1 for mask in masks)


@pytest.mark.parametrize(
    ("name", "listens"),
    [
        ("serve", ["--proxy-listen", "--admin-listen"]),
        ("web-proxy", ["--proxy-listen"]),
        ("web-admin", ["--admin-listen"]),
        ("cron-download-files", []),
        ("cron-download-containers", []),
        ("verify", []),
    ],
)
def test_sighup_is_not_the_end_of_who_has_just_been_started(tmp_path, installed, name, listens):
    shutil.copytree(installed, tmp_path / "data")
    told = {} if listens else {"DISTFILE_MIRROR_METRICS_LISTEN": f"127.0.0.1:{(port := free_port())}"}
    component = Component(
        tmp_path, name, name, "--data-dir", "data", *([] if listens else ["--watch"]), environment=told
    )
    for flag in listens:
        component.listen(flag)
    component.port = component.port or port
    try:
        begun = time.monotonic()
        component.start()
        while not holds_back_or_hears_sighup(component.process.pid):  # the interpreter starts
            assert time.monotonic() - begun < 5
        while time.monotonic() - begun < 2:
            component.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        component.wait_until_up()
    finally:
        assert component.stop() == 0, component.log.read_text()


@pytest.mark.parametrize("name", ["web-admin", "cron-download-files", "verify"])
def test_who_is_to_end_while_it_begins_anew_ends(tmp_path, installed, name):
    shutil.copytree(installed, tmp_path / "data")
    component = Component(tmp_path, name, name, "--data-dir", "data", *([] if name == "web-admin" else ["--watch"]))
    if name == "web-admin":
        component.listen("--admin-listen")
    for pause in (0, 0.01, 0.03, 0.1, 0.4):
        component.start()
        until = time.monotonic() + 20
        while not hears(component.process.pid, signal.SIGHUP):
            assert time.monotonic() < until
            time.sleep(0.005)
        component.process.send_signal(signal.SIGHUP)
        time.sleep(pause)
        assert component.stop() == 0, (pause, component.log.read_text())


def hears(pid, number):
    """Tell whether a process has a handler for a signal. Raises OSError if it is gone."""
    caught = re.search(r"^SigCgt:\s(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]
    return bool(int(caught, 16) & 1 << number - 1)


def test_on_a_terminal_sighup_is_the_end_from_the_first_moment(tmp_path, installed):
    shutil.copytree(installed, tmp_path / "data")
    ours, theirs = pty.openpty()
    arguments = [PROGRAM, "verify", "--data-dir", tmp_path / "data", "--watch"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(arguments, stdin=theirs, stdout=log, stderr=log, env=clean_environment())
    try:
        time.sleep(0.1)  # it is still importing what it needs
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == -signal.SIGHUP
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_what_was_asked_for_just_before_a_stop_is_noted(two_proxies):
    admin, _downloader, proxies = two_proxies
    asked = [f"http://up.test/missing-{number}" for number in range(3)]
    for proxy in proxies:
        for uri in asked:
            assert get(proxy, uri)[0] == 404
        assert proxy.stop() == 0
    _, found = api(admin, "/misses")
    counts = {miss["name"]: miss["count"] for miss in found["misses"]}
    assert {uri: counts[uri] for uri in asked} == dict.fromkeys(asked, 2)
