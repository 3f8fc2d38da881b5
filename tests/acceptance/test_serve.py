"""`serve` as a person meets it: starting, stopping, what it says, and what is wrong."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running_mirror import DIRECT, PROGRAM, RunningMirror, clean_environment, command_line
from tests.ports import free_port
from tests.upstream_server import file

SMALL = b"small\n"


def run(*arguments, cwd, **more):
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(**more),
    )


def test_what_it_prints_can_be_pasted(tmp_path, authority, upstream):
    upstream.routes["/rfc/rfc9110.txt"] = file(SMALL)
    with RunningMirror(
        tmp_path,
        upstream_ca=authority.ca_file,
        upstream={"www.rfc-editor.org": upstream.port},
        flags=("--workers", "1"),
    ) as mirror:
        until = time.monotonic() + 10
        while "Ctrl-C" not in mirror.log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        printed = mirror.log.read_text()
        lines = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
        add, curl = [line for line in lines if "rfc9110" in line]
        assert (mirror.data / "ca" / "ca.pem").exists()
        for command in (add, curl):
            # The upstream of this test has a certificate for another name; the mirror's CA has not.
            subprocess.run(
                command, shell=True, check=command is curl, cwd=tmp_path, env=clean_environment(), timeout=60
            )
    assert str(mirror.proxy) in printed
    assert str(mirror.admin) in printed


def test_ctrl_c_finishes_what_is_under_way(mirror, upstream):
    body = os.urandom(30_000_000)
    upstream.routes["/big"] = file(body)
    mirror.add("https://up.test/big")
    connection = http.client.HTTPConnection("127.0.0.1", mirror.proxy_port)
    connection.request("GET", "https://up.test/big")
    answer = connection.getresponse()
    received = answer.read(1_000_000)
    ending = threading.Thread(target=mirror.stop, args=(signal.SIGINT,))
    ending.start()
    time.sleep(0.5)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", mirror.proxy_port), timeout=1)
    received += answer.read()
    connection.close()
    ending.join()
    assert received == body
    assert mirror.process.returncode == 0


def test_a_component_that_dies_comes_back(mirror):
    for pid in mirror.descendants():
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    time.sleep(0.3)
    mirror.wait_until_up()
    assert mirror.api("/files") == {"files": [], "next_cursor": None}


def test_a_download_begins_within_a_second(mirror, upstream):
    upstream.routes["/now"] = file(SMALL)
    begun = time.monotonic()
    mirror.add("https://up.test/now", wait=False)
    while not upstream.asked("/now"):
        assert time.monotonic() - begun < 3  # of which starting the command takes most
        time.sleep(0.02)


def test_blocking_and_unblocking_reach_the_proxy_within_seconds(mirror, upstream):
    upstream.routes["/bad"] = file(SMALL)
    uri = "https://up.test/bad"
    mirror.add(uri)

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", mirror.proxy_port)
        connection.request("GET", uri)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def wait_for(status):
        until = time.monotonic() + 5
        while True:
            found, content = ask()
            if found == status:
                return content
            assert time.monotonic() < until
            time.sleep(0.1)

    assert wait_for(200) == SMALL
    mirror.run("block", uri, "--reason", "has a back door")
    assert b"has a back door" in wait_for(451)
    mirror.run("unblock", uri)
    assert wait_for(200) == SMALL


def health(mirror):
    """Return the status and text of both ports' health."""
    answers = []
    for port in (mirror.proxy_port, mirror.admin_port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode()))
        connection.close()
    return answers


def test_health_is_told_by_both_ports(mirror):
    assert [status for status, _ in health(mirror)] == [200, 200]
    blobs = mirror.data / "blobs"
    blobs.rename(mirror.data / "elsewhere")
    for status, text in health(mirror):
        assert status == 503
        assert "blob" in text
    (mirror.data / "elsewhere").rename(blobs)
    with closing(sqlite3.connect(mirror.data / "catalog.sqlite3")) as catalog:
        catalog.execute("ALTER TABLE catalog_revision RENAME TO hidden")
        for status, text in health(mirror):
            assert status == 503
            assert "database" in text
        catalog.execute("ALTER TABLE hidden RENAME TO catalog_revision")
    assert [status for status, _ in health(mirror)] == [200, 200]


def test_the_admin_answers_under_its_own_names_only(tmp_path):
    environment = {"DISTFILE_MIRROR_ADMIN_HOSTS": "10.0.0.7 fd00::7"}
    with RunningMirror(tmp_path, environment=environment, flags=("--workers", "1")) as mirror:
        for host, status in (("10.0.0.7:8080", 200), ("[fd00::7]:8080", 200), ("10.0.0.8:8080", 400)):
            assert httpx.get(f"{mirror.admin}/health", headers={"Host": host}, trust_env=False).status_code == status


def test_a_second_serve_on_the_same_data_is_refused(mirror):
    done = run("serve", "--data-dir", mirror.data, "--proxy-listen", f"127.0.0.1:{free_port()}", cwd=mirror.folder)
    assert done.returncode == 1
    assert "another `distfile-mirror serve` runs on" in done.stderr


def test_a_port_in_use_is_told(mirror, tmp_path):
    done = run(
        "serve", "--data-dir", tmp_path / "other", "--proxy-listen", f"127.0.0.1:{mirror.proxy_port}", cwd=tmp_path
    )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{mirror.proxy_port}" in done.stderr


@pytest.mark.parametrize(("proxy", "told"), [("127.0.0.1", "are both"), ("0.0.0.0", "cannot listen on 0.0.0.0")])
def test_one_port_for_proxy_and_admin_is_told(tmp_path, proxy, told):
    port = free_port()
    flags = ("--proxy-listen", f"{proxy}:{port}", "--admin-listen", f"127.0.0.1:{port}")
    done = run("serve", "--data-dir", tmp_path / "data", *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_downloads_through_the_mirror_itself_are_refused(tmp_path):
    port = free_port()
    done = run("serve", "--proxy-listen", f"127.0.0.1:{port}", cwd=tmp_path, https_proxy=f"http://localhost:{port}/")
    assert done.returncode == 1
    assert f"https_proxy is http://localhost:{port}/, which is this mirror" in done.stderr


def test_a_worker_takes_all_descriptors_that_it_may_have(mirror):
    workers = [pid for pid in mirror.descendants() if "web-proxy" in command_line(pid)]
    assert workers
    for pid in workers:
        limits = Path(f"/proc/{pid}/limits").read_text()
        soft, hard = re.search(r"Max open files +(\S+) +(\S+)", limits).groups()
        assert soft == hard


def test_a_wrong_configuration_lists_every_mistake(tmp_path):
    done = run("serve", "--workers", "none", "--proxy-listen", "x", cwd=tmp_path, DISTFILE_MIRROR_ALLOW_NETWORK="y")
    assert done.returncode == 2
    assert {line.strip().partition(":")[0] for line in done.stderr.splitlines()[1:]} == {
        "workers",
        "proxy_listen",
        "allow_network",
    }
    assert not list(tmp_path.iterdir())


class TestComponentsAlone:
    """Each of the four, with nothing but its flags."""

    @pytest.mark.parametrize("name", ["cron-download-files", "cron-download-containers", "verify"])
    def test_who_needs_no_ca_takes_no_flag_for_it_and_leaves_the_variable_alone(self, tmp_path, name):
        assert run("migrate", "--data-dir", "data", cwd=tmp_path).returncode == 0
        unreadable = tmp_path / "ca"
        unreadable.write_text("neither a folder nor a certificate")
        shared = {"DISTFILE_MIRROR_CA_DIR": str(unreadable), "DISTFILE_MIRROR_CA_PASSPHRASE": "of another component"}
        done = run(name, "--data-dir", "data", cwd=tmp_path, **shared)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        done = run(name, "--data-dir", "data", "--ca-dir", "ca", cwd=tmp_path)
        assert done.returncode == 2
        assert "--ca-dir" in done.stderr

    def test_they_meet_in_the_database_and_the_folder(self, tmp_path, authority, upstream):
        upstream.routes["/a"] = file(SMALL)
        data = ["--data-dir", str(tmp_path / "data")]
        assert run("ca", "init", *data, cwd=tmp_path).returncode == 0
        assert run("migrate", *data, cwd=tmp_path).returncode == 0
        proxy, admin = free_port(), free_port()
        components = [
            ["web-proxy", *data, "--proxy-listen", f"127.0.0.1:{proxy}", "--workers", "1"],
            ["web-admin", *data, "--admin-listen", f"127.0.0.1:{admin}"],
        ]
        running = [subprocess.Popen([PROGRAM, *one], env=clean_environment(), cwd=tmp_path) for one in components]
        try:
            for port in (proxy, admin):
                wait_for_health(port)
            server = ["--server", f"http://127.0.0.1:{admin}"]
            declared = run(
                *(
                    "add",
                    "https://up.test/a",
                    "https://up.test/none",
                    "--project",
                    "p",
                    "--reason",
                    "r",
                    "--json",
                    *server,
                ),
                cwd=tmp_path,
            )
            assert declared.returncode == 0, declared.stderr
            downloaded = run(
                *(
                    "cron-download-files",
                    *data,
                    "--allow-network",
                    "127.0.0.0/8",
                    "--upstream-ca",
                    str(authority.ca_file),
                ),
                *("--connect-to", f"up.test:443:127.0.0.1:{upstream.port}"),
                cwd=tmp_path,
            )
            assert downloaded.returncode == 0, downloaded.stderr
            assert json.loads(downloaded.stdout)["fetched"] == 1
            assert json.loads(downloaded.stdout)["failed"] == 1
            connection = http.client.HTTPConnection("127.0.0.1", proxy)
            connection.request("GET", "https://up.test/a")
            assert connection.getresponse().read() == SMALL
            connection.close()
        finally:
            for process in running:
                process.terminate()
            assert [process.wait(20) for process in running] == [0, 0]

    def test_a_proxy_without_a_ca_says_what_to_do(self, tmp_path):
        done = run("web-proxy", "--data-dir", tmp_path / "data", cwd=tmp_path)
        assert done.returncode == 1
        assert "distfile-mirror ca init" in done.stderr

    @pytest.mark.parametrize("component", ["web-proxy", "web-admin", "cron-download-files"])
    def test_without_a_schema_each_says_what_to_do(self, tmp_path, component):
        data = ["--data-dir", str(tmp_path / "data")]
        run("ca", "init", *data, cwd=tmp_path)
        done = run(component, *data, cwd=tmp_path)
        assert done.returncode == 1
        assert "distfile-mirror migrate" in done.stderr
        assert "Traceback" not in done.stderr


def wait_for_health(port):
    until = time.monotonic() + 20
    while True:
        try:
            DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


class TestCa:
    def test_show_and_export(self, tmp_path):
        data = ["--data-dir", str(tmp_path / "data")]
        made = run("ca", "init", *data, "--name", "Our Mirror CA", cwd=tmp_path)
        assert "CN=Our Mirror CA" in made.stdout
        shown = json.loads(run("ca", "show", "--json", *data, cwd=tmp_path).stdout)
        assert shown["subject"] == "CN=Our Mirror CA"
        exported = run("ca", "export", *data, cwd=tmp_path).stdout
        assert exported == (tmp_path / "data/ca/ca.pem").read_text()
        done = run("ca", "export", "--format", "java", "--output", tmp_path / "trust.p12", *data, cwd=tmp_path)
        assert "changeit" in done.stderr
        listed = subprocess.run(
            ["openssl", "pkcs12", "-in", tmp_path / "trust.p12", "-passin", "pass:changeit", "-nokeys"],
            capture_output=True,
            check=True,
        )
        assert b"Our Mirror CA" in listed.stdout

    def test_adopting_and_a_passphrase(self, tmp_path):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"),
                *("-subj", "/CN=Corporate CA", "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        data = ["--data-dir", str(tmp_path / "data")]
        secret = {"DISTFILE_MIRROR_CA_PASSPHRASE": "sesame"}
        adopted = run("ca", "init", *data, "--certificate", "cert.pem", "--key", "key.pem", cwd=tmp_path, **secret)
        assert adopted.returncode == 0, adopted.stderr
        assert "CN=Corporate CA" in adopted.stdout
        assert "ENCRYPTED" in (tmp_path / "data/ca/ca.key").read_text()
        forgotten = run("ca", "show", *data, cwd=tmp_path)
        assert forgotten.returncode == 1
        assert "DISTFILE_MIRROR_CA_PASSPHRASE" in forgotten.stderr
        with RunningMirror(tmp_path, flags=("--workers", "1"), environment=secret):
            pass


def test_logs_name_no_secret_and_are_json_when_nobody_watches(mirror):
    mirror.add("https://up.test/none", wait=False)
    until = time.monotonic() + 5
    while "failed" not in mirror.log.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    lines = [line for line in mirror.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    for line in lines:
        assert {"event", "level", "timestamp"} <= set(json.loads(line))
    assert not re.search("Traceback", mirror.log.read_text())


def test_files_of_the_data_folder_are_no_more_open_than_needed(mirror):
    assert oct((mirror.data / "ca" / "ca.key").stat().st_mode)[-3:] == "600"
    assert oct((mirror.data / "secret-key").stat().st_mode)[-3:] == "600"
    assert Path(mirror.data / "catalog.sqlite3").exists()


def curl_with(mirror, ca_file):
    done = subprocess.run(
        ["curl", "-sS", "--proxy", mirror.proxy, "--cacert", ca_file, "https://up.test/a"],
        capture_output=True,
        env=clean_environment(),
        check=False,
    )
    return done.stdout


def test_the_ca_is_rotated_without_a_restart(mirror, upstream, tmp_path):
    upstream.routes["/a"] = file(SMALL)
    mirror.add("https://up.test/a")
    first, both, second = (tmp_path / name for name in ("first.pem", "both.pem", "second.pem"))
    first.write_bytes(mirror.ca.read_bytes())
    workers = mirror.descendants()

    def offered():
        return [DIRECT.open(f"{url}/ca.pem", timeout=5).read() for url in (mirror.proxy, mirror.admin)]

    def wait_until_offered(count):
        until = time.monotonic() + 20
        while any(pem.count(b"BEGIN CERTIFICATE") != count for pem in offered()):
            assert time.monotonic() < until, offered()
            time.sleep(0.1)

    rotate = ["ca", "rotate", "--data-dir", mirror.data]
    assert "ca rotate --activate" in run(*rotate, cwd=tmp_path).stdout
    wait_until_offered(2)
    both.write_bytes(offered()[0])
    assert [curl_with(mirror, each) for each in (first, both)] == [SMALL] * 2

    assert run(*rotate, "--activate", cwd=tmp_path).returncode == 0
    second.write_bytes(mirror.ca.read_bytes())
    assert second.read_bytes() != first.read_bytes()
    until = time.monotonic() + 20
    while curl_with(mirror, second) != SMALL:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert curl_with(mirror, both) == SMALL
    assert mirror.descendants() == workers

    assert run(*rotate, "--finish", cwd=tmp_path).returncode == 0
    wait_until_offered(1)
    assert curl_with(mirror, second) == SMALL
    assert b"distfile_mirror_ca_not_after_seconds" in DIRECT.open(f"{mirror.proxy}/metrics", timeout=5).read()
    assert run(*rotate, "--finish", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_stopped_while_the_database_is_migrated_finishes_that_and_ends(tmp_path, number):
    (tmp_path / "data").mkdir()
    mirror = RunningMirror(tmp_path)
    with closing(sqlite3.connect(tmp_path / "data" / "catalog.sqlite3", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")  # so that the migration waits
        mirror.start(wait=False)
        until = time.monotonic() + 20
        while not (forks := mirror.descendants()) or not writes_to(forks[0], "catalog.sqlite3"):
            assert time.monotonic() < until, mirror.log.read_text()
            time.sleep(0.01)
        mirror.process.send_signal(number)
        os.kill(forks[0], number)  # as Ctrl-C on a terminal does, and systemd
        time.sleep(0.5)
        assert mirror.process.poll() is None
        assert Path(f"/proc/{forks[0]}").exists()
        writer.execute("ROLLBACK")
        assert mirror.process.wait(30) == 0, mirror.log.read_text()
        assert not Path(f"/proc/{forks[0]}").exists()
        assert "Traceback" not in mirror.log.read_text()
        assert writer.execute("SELECT count(*) FROM catalog_file").fetchone() == (0,)
    mirror.start()
    assert mirror.stop() == 0


def writes_to(pid, name):
    """Tell whether a process has a file of this name open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if link.readlink().name == name:
                return True
    return False
