"""deploy/systemd: judged by systemd's own tools, and run by a real systemd with a file passing through."""

import os
import re
import shutil
import subprocess
import sys
import time

import httpx
import pytest

from distfile_mirror.config import ENVIRONMENT_PREFIX, Config, load_config
from tests.acceptance.booted_machine import BootedMachine
from tests.acceptance.pages import ROOT, blocks
from tests.acceptance.running_mirror import PROGRAM, clean_environment
from tests.ports import free_port
from tests.requirements import skip
from tests.upstream_server import file

UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
STAYING = [path.name for path in SERVICES if "migrate" not in path.name]
INSTALLED = "/opt/distfile-mirror/bin/distfile-mirror"
MOST_EXPOSED = "15"  # of 100; a service without any hardening has 96
PAGE = "docs/howto/deploy-on-one-machine.md"
CHECKOUT = "/srv/checkout"
URI = "https://up.test/foo-1.2.tar.gz"
LOG = "/var/log/distfile-mirror.log"
LIBRARIES = "/opt/python/lib"
PYTHON = {"PATH": f"/opt/python/bin:{os.environ['PATH']}", "LD_LIBRARY_PATH": LIBRARIES}
UNREACHABLE = re.compile(r"Retrying|ConnectionError|Connection refused|timed out|name resolution", re.IGNORECASE)


@pytest.fixture
def copies(tmp_path):
    """The units, with the program where it is here."""
    if not shutil.which("systemd-analyze"):
        skip("systemd-analyze is not installed (Debian: systemd)")
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        assert INSTALLED in path.read_text()
        path.write_text(path.read_text().replace(INSTALLED, str(PROGRAM)))
    return folder


def analyze(*arguments, **environment):
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_systemd_finds_no_fault(copies):
    done = analyze("verify", "--man=no", *map(str, copies.glob("*.service")), str(copies / "distfile-mirror.target"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_fault_would_be_found(copies):
    path = copies / "distfile-mirror-.service.d" / "10-common.conf"
    path.write_text(path.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(copies / STAYING[0])).stderr


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_little_is_exposed(copies, service):
    arguments = ("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", str(copies / service.name))
    done = analyze(*arguments, SYSTEMD_UNIT_PATH=f"{copies}:")
    assert done.returncode == 0, done.stdout + done.stderr
    (copies / "distfile-mirror-.service.d" / "10-common.conf").unlink()
    assert analyze(*arguments, SYSTEMD_UNIT_PATH=f"{copies}:").returncode != 0


@pytest.mark.parametrize("path", sorted(UNITS.rglob("*.*")), ids=lambda path: path.name)
def test_every_variable_is_a_setting(path):
    if path.is_dir():
        return
    names = re.findall(rf"{ENVIRONMENT_PREFIX}(\w+)", path.read_text())
    assert {name.lower() for name in names} <= {*Config.model_fields, "config"}


def test_the_configuration_is_accepted(monkeypatch):
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)
    config = load_config(file=UNITS / "mirror.toml")
    assert config.sign_in == ("accounts",)


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_stopping_is_given_the_time_that_it_takes(service):
    text = service.read_text()
    if service.name in STAYING:
        assert (
            int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1])
            >= Config.model_fields["stop_grace"].default + 10
        )


class TestOnABootedMachine:
    """By the lines of the page that says how to."""

    @pytest.fixture
    def ports(self):
        return {"proxy": free_port(), "admin": free_port()}

    @pytest.fixture
    def machine(self, tmp_path, authority, upstream, ports):
        upstream.routes["/foo-1.2.tar.gz"] = file(b"foo\n")
        (tmp_path / "mirror.toml").write_text(
            f"""
proxy_listen = "127.0.0.1:{ports["proxy"]}"
admin_listen = "127.0.0.1:{ports["admin"]}"
local_user = "somebody"
workers = 1
allow_network = ["127.0.0.0/8"]
upstream_ca = "/etc/distfile-mirror/upstream-ca.pem"
connect_to = ["up.test::127.0.0.1:{upstream.port}"]
"""
        )
        with BootedMachine(tmp_path, prepared(tmp_path, authority)) as booted:
            yield booted

    def test_a_file_gets_through(self, machine, ports, tmp_path):
        own = [f"cd {CHECKOUT}\n{block}" for block in blocks(PAGE) if "docker" not in block and ".env" not in block]
        program, install, start, add_user, reload = own
        installed(machine, program)
        typed(machine, install)
        typed(machine, "cp /srv/mirror.toml /etc/distfile-mirror/mirror.toml")
        typed(machine, start)
        wait_until_healthy(machine, ports)
        assert "alice" in typed(machine, add_user)
        (tmp_path / "ca.pem").write_text(machine.read("/etc/distfile-mirror/ca/ca.pem"))
        declare(ports, machine)
        assert get(ports, tmp_path / "ca.pem") == b"foo\n"
        for service in STAYING:
            check_confined(machine, service)
        check_only_the_proxy_has_the_key(machine)
        check_the_ca_is_rotated(machine, ports, tmp_path)
        (tmp_path / "ca.pem").write_text(machine.read("/etc/distfile-mirror/ca/ca.pem"))
        check_reloading(machine, reload)
        wait_until_healthy(machine, ports)
        assert get(ports, tmp_path / "ca.pem") == b"foo\n"
        check_what_dies_comes_back(machine, "distfile-mirror-cron-download-files.service")
        check_all_end_well(machine)


def typed(machine, block):
    """Paste lines into a terminal of root's; return what they print."""
    environment = clean_environment(LD_LIBRARY_PATH=LIBRARIES)
    return machine.run("bash", "-euo", "pipefail", "-c", block, env=environment).stdout


def installed(machine, block):
    """Run what installs the program, from the package index."""
    done = machine.run("bash", "-euo", "pipefail", "-c", block, env=os.environ | PYTHON, check=False, timeout=300)
    if done.returncode and UNREACHABLE.search(done.stderr):
        skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr


def declare(ports, machine):
    environment = clean_environment(DISTFILE_MIRROR_SERVER=f"http://127.0.0.1:{ports['admin']}")
    add = [PROGRAM, "add", URI, "--project", "tests", "--reason", "to see it work", "--wait", "--timeout", "30"]
    done = subprocess.run(add, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + machine.read(LOG)


def get(ports, ca_file, *, check=True):
    command = ["curl", "-sS", "--proxy", f"http://127.0.0.1:{ports['proxy']}", "--cacert", ca_file, URI]
    return subprocess.run(command, env=clean_environment(), capture_output=True, check=check).stdout


def prepared(folder, authority):
    """Return the script that puts Python elsewhere, since services see no homes, and the checkout into its place."""
    return f"""
mkdir -p "$root"/opt/python
mount --rbind {sys.base_prefix} "$root/opt/python"
mkdir -p "$root{CHECKOUT}" "$root/etc/distfile-mirror" "$root/etc/systemd/system/distfile-mirror-.service.d"
mount --bind {ROOT} "$root{CHECKOUT}"
cp {folder}/mirror.toml "$root/srv/mirror.toml"
cp {authority.ca_file} "$root/etc/distfile-mirror/upstream-ca.pem"
chmod 644 "$root/srv/mirror.toml" "$root/etc/distfile-mirror/upstream-ca.pem"
printf '[Service]\\nEnvironment=LD_LIBRARY_PATH={LIBRARIES}\\n' \\
    > "$root/etc/systemd/system/distfile-mirror-.service.d/90-python.conf"
printf '[Service]\\nStandardOutput=append:{LOG}\\nStandardError=append:{LOG}\\n' \\
    > "$root/etc/systemd/system/distfile-mirror-.service.d/90-log.conf"
"""


def wait_until_healthy(machine, ports):
    until = time.monotonic() + 30
    waiting = [f"http://127.0.0.1:{port}/health" for port in ports.values()]
    while waiting and time.monotonic() < until:
        try:
            if httpx.get(waiting[0], trust_env=False).status_code == 200:
                del waiting[0]
        except httpx.HTTPError:
            time.sleep(0.1)
    told = machine.run("systemctl", "status", "--no-pager", "distfile-mirror*", check=False).stdout
    assert not waiting, told + machine.read(LOG)


def main_process(machine, service):
    return machine.show(service, "MainPID")["MainPID"]


def check_confined(machine, service):
    lines = machine.read(f"/proc/{main_process(machine, service)}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) != {"0"}
    assert status["CapEff"] == status["CapBnd"] == "0" * 16
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def check_only_the_proxy_has_the_key(machine):
    key, certificate = "/etc/distfile-mirror/ca/ca.key", "/etc/distfile-mirror/ca/ca.pem"
    for service in STAYING:
        pid = main_process(machine, service)
        groups = next(line for line in machine.read(f"/proc/{pid}/status").splitlines() if line.startswith("Groups:"))
        inside = ["nsenter", "--target", pid, "--mount", "setpriv", "--reuid=distfile-mirror"]
        numbers = ",".join(groups.split()[1:])
        inside += [f"--groups={numbers}" if numbers else "--clear-groups"]
        reads = machine.run(*inside, "cat", key, check=False).returncode == 0
        assert reads == ("web-proxy" in service), service
        assert machine.run(*inside, "cat", certificate, check=False).returncode == 0


def check_the_ca_is_rotated(machine, ports, folder):
    """As the page says: nothing is restarted, and each client gets on that trusts the CA before, the next, or both."""
    before = [main_process(machine, service) for service in STAYING]
    present = (folder / "ca.pem").read_text()
    rotate = [INSTALLED, "ca", "rotate", "--ca-dir", "/etc/distfile-mirror/ca"]
    machine.run(*rotate)
    offered = f"http://127.0.0.1:{ports['admin']}/ca.pem"
    both = until_certificates(offered, 2)
    assert present in both
    machine.run(*rotate, "--activate")
    coming = machine.read("/etc/distfile-mirror/ca/ca.pem")
    (folder / "coming.pem").write_text(coming)
    until = time.monotonic() + 20
    while (signed := get(ports, folder / "coming.pem", check=False)) != b"foo\n":
        assert time.monotonic() < until, signed
        time.sleep(0.2)
    assert get(ports, folder / "ca.pem") == b"foo\n"
    machine.run(*rotate, "--finish")
    assert until_certificates(offered, 1) == coming
    check_only_the_proxy_has_the_key(machine)
    assert [main_process(machine, service) for service in STAYING] == before


def until_certificates(url, count):
    until = time.monotonic() + 20
    while (text := httpx.get(url, trust_env=False).text).count("BEGIN CERTIFICATE") != count:
        assert time.monotonic() < until, text
        time.sleep(0.2)
    return text


def check_reloading(machine, reload):
    """Each goes on under the same number, and none was started anew."""
    before = [main_process(machine, service) for service in STAYING]
    typed(machine, reload)
    time.sleep(2)
    assert [main_process(machine, service) for service in STAYING] == before
    assert {machine.show(service, "ActiveState", "NRestarts")["NRestarts"] for service in STAYING} == {"0"}


def check_what_dies_comes_back(machine, service):
    before = main_process(machine, service)
    machine.run("kill", "-KILL", before)
    until = time.monotonic() + 20
    while main_process(machine, service) in (before, "0"):
        assert time.monotonic() < until, "it was not started again"
        time.sleep(0.1)


def check_all_end_well(machine):
    machine.run("systemctl", "stop", "distfile-mirror.target")
    for service in STAYING:
        until = time.monotonic() + 20
        while machine.show(service, "ActiveState")["ActiveState"] not in ("inactive", "failed"):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert machine.show(service, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
