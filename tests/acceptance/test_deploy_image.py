"""deploy/Dockerfile: built for real, and every component run from the image with nothing writable but its data."""

import os
import re
import subprocess
import time
from contextlib import ExitStack

import httpx
import pytest
import yaml

from distfile_mirror import __version__
from tests.acceptance import container_image
from tests.acceptance.pages import ROOT
from tests.acceptance.running_mirror import PROGRAM, clean_environment, free_port
from tests.upstream_server import file

pytestmark = pytest.mark.timeout(600)

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
URI = "https://up.test/foo-1.2.tar.gz"
COMPONENTS = (
    ["web-proxy"],
    ["web-admin"],
    ["cron-download-files", "--watch"],
    ["cron-download-containers", "--watch"],
    ["verify", "--watch"],
)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The root folder of the built image, and its configuration."""
    folder = tmp_path_factory.mktemp("image")
    builder = container_image.Builder(folder)
    try:
        builder.import_base("localhost/base")
        config = builder.build("localhost/base", "localhost/distfile-mirror")
        yield builder.mount("localhost/distfile-mirror"), config
    finally:
        builder.remove()


def test_what_it_says_of_itself(image):
    _root, config = image
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["distfile-mirror"]
    assert set(config["ExposedPorts"]) == {"3128/tcp", "8080/tcp"}
    assert not [line for line in config["Env"] if "PIP" in line or "SECRET" in line or "PASSWORD" in line]


def test_nothing_of_the_build_is_left_in_it(image, tmp_path):
    root, _config = image
    assert not (root / "build").exists()
    assert not (root / "etc" / "pip.conf").exists()
    packages = {path.name for path in (root / "opt" / "distfile-mirror" / "lib").glob("python*/site-packages/*")}
    assert not packages & {"pip", "hatchling", "pytest"}
    assert "distfile_mirror" in packages
    writable = [
        path for path in (root / "opt").rglob("*") if path.lstat().st_uid == 10001 or path.lstat().st_mode & 0o022
    ]
    assert [path for path in writable if not path.is_symlink()] == []


@pytest.fixture
def machine(image, tmp_path, authority, upstream):
    """Return a function that starts one command in the image, on data that all share."""
    root, config = image
    upstream.routes["/foo-1.2.tar.gz"] = file(b"foo\n")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    (data / "upstream-ca.pem").write_bytes(authority.ca_file.read_bytes())
    (data / "upstream-ca.pem").chmod(0o644)
    environment = {
        "DISTFILE_MIRROR_PROXY_LISTEN": f"127.0.0.1:{free_port()}",
        "DISTFILE_MIRROR_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "DISTFILE_MIRROR_WORKERS": "1",
        "DISTFILE_MIRROR_ALLOW_NETWORK": "127.0.0.0/8",
        "DISTFILE_MIRROR_UPSTREAM_CA": "/var/lib/distfile-mirror/upstream-ca.pem",
        "DISTFILE_MIRROR_CONNECT_TO": f"up.test::127.0.0.1:{upstream.port}",
    }
    log = (tmp_path / "log").open("w+b")
    with log, ExitStack() as ended:

        def start(*arguments, more=(), **options):
            options = {"stdout": log, "stderr": log, "environment": {**environment, **dict(more)}, **options}
            process = container_image.start(root, config, data, *arguments, **options)
            ended.callback(process.wait)
            ended.callback(process.kill)
            return process

        start.environment = environment
        start.data = data
        start.log = tmp_path / "log"
        yield start


def done(process):
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return told


def test_version(machine):
    asked = machine("--version", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done(asked) == f"distfile-mirror {__version__}\n"


def test_a_file_gets_through_the_components(machine):
    for once in (["ca", "init"], ["migrate"]):
        done(machine(*once, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    watched = {name: f"127.0.0.1:{free_port()}" for name, *more in COMPONENTS if more}
    metrics = {name: {"DISTFILE_MIRROR_METRICS_LISTEN": address} for name, address in watched.items()}
    processes = [machine(*arguments, more=metrics.get(arguments[0], ())) for arguments in COMPONENTS]
    proxy, admin = (f"http://{machine.environment[f'DISTFILE_MIRROR_{name}_LISTEN']}" for name in ("PROXY", "ADMIN"))
    urls = {"web-proxy": proxy, "web-admin": admin, **{name: f"http://{at}" for name, at in watched.items()}}
    for url in urls.values():
        wait_until_healthy(url, machine.log)
    add = [PROGRAM, "add", URI, "--project", "tests", "--reason", "to see it work", "--wait", "--timeout", "60"]
    declared = subprocess.run(
        [*add, "--server", admin], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert declared.returncode == 0, declared.stdout + declared.stderr + machine.log.read_text()
    got = subprocess.run(
        ["curl", "-sS", "--proxy", proxy, "--cacert", machine.data / "ca" / "ca.pem", URI],
        env=clean_environment(),
        capture_output=True,
        check=True,
    )
    assert got.stdout == b"foo\n"
    for name, url in urls.items():
        assert is_healthy_to_compose(machine, name, url)
        assert not is_healthy_to_compose(machine, name, "http://127.0.0.1:1")
    written = {path.lstat().st_uid for path in machine.data.rglob("*") if path.name != "upstream-ca.pem"}
    assert written == {10001}
    assert [container_image.terminate(process) for process in processes] == [0] * len(COMPONENTS), (
        machine.log.read_text()
    )


def is_healthy_to_compose(machine, name, url):
    """Tell what the health check of deploy/compose.yaml finds, run where it would be."""
    [_cmd, program, flag, code] = COMPOSE["services"][name]["healthcheck"]["test"]
    process = machine(flag, re.sub(r"http://127\.0\.0\.1:\d+", url, code), program=program)
    return process.wait(60) == 0


def test_nothing_but_its_data_can_be_written(machine):
    refused = machine(
        *("ca", "init", "--ca-dir", "/opt/distfile-mirror/ca"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    told, _ = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "Read-only file system" in told


def wait_until_healthy(url, log):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
