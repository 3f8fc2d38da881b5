"""deploy/Dockerfile and deploy/compose.yaml on a real Docker engine, by the lines of the pages that say how to."""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import obstore
import pytest
import yaml

from tests.acceptance.docker_machine import DockerMachine
from tests.acceptance.pages import ROOT, blocks
from tests.acceptance.registry_images import POSTGRESQL, postgresql_root, python_root
from tests.acceptance.running_mirror import PROGRAM
from tests.ceph_gateway import CephGateway

pytestmark = pytest.mark.timeout(600)

ONE_MACHINE = [block for block in blocks("docs/howto/deploy-on-one-machine.md") if "deploy/systemd" not in block]
REGISTRY = "registry.example.org"
PYTHON = "python:3.13-slim"  # the base that the Dockerfile names
FOO = "foo\n"
COMPONENTS = {"web-proxy", "web-admin", "cron-download-files", "cron-download-containers", "verify"}
HEALTHY_SECONDS = 90
URI = "http://up.test/foo-1.2.tar.gz"
SHA256 = hashlib.sha256(FOO.encode()).hexdigest()
PASSWORD = "a long and quiet river"  # the page's
# The S3 server is not on the engine's network: a Unix socket leads there, and something leads to that on both sides.
LEAD = """
import asyncio, sys
listens, at, asks, there = sys.argv[1:]
async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
async def led(reader, writer):
    ask = asyncio.open_unix_connection(there) if asks == "unix" else asyncio.open_connection("127.0.0.1", int(there))
    other = await ask
    await asyncio.gather(pipe(reader, other[1]), pipe(other[0], writer), return_exceptions=True)
async def main():
    listen = asyncio.start_unix_server(led, at) if listens == "unix" else asyncio.start_server(led, "0.0.0.0", int(at))
    async with await listen as server:
        await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def machine():
    folder = Path(tempfile.mkdtemp(prefix="dm-", dir="/tmp"))  # short: it holds unix sockets
    try:
        with DockerMachine(folder, REGISTRY) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, machine):
    """A checkout of what an image is built of, and the base that it is built on."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("deploy", "requirements", "src"):
        ignored = shutil.ignore_patterns("__pycache__", ".env", "secrets")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    machine.import_root(python_root(tmp_path_factory.mktemp("python")), PYTHON)
    return folder


def test_the_image_is_built_and_pushed(machine, checkout, tmp_path):
    [block] = [block for block in blocks("docs/howto/deploy-on-kubernetes.md") if "docker build" in block]
    with registry(machine, tmp_path):
        machine.typed(block, checkout)
        told = machine.run(
            "curl", "-sS", f"http://{REGISTRY}/v2/distfile-mirror/tags/list", "--resolve", f"{REGISTRY}:80:127.0.0.1"
        )
    assert json.loads(told.stdout) == {"name": "distfile-mirror", "tags": ["1"]}
    image = f"{REGISTRY}/distfile-mirror:1"
    confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")
    assert "distfile-mirror" in machine.run("docker", "run", "--rm", *confined, image, "--version").stdout
    config = json.loads(machine.run("docker", "image", "inspect", image).stdout)[0]["Config"]
    assert config["User"] == "10001:10001"


@contextmanager
def registry(machine, folder):
    """Run a registry without TLS on the engine's machine, at port 80, which is free there."""
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\nhttp:\n  addr: 127.0.0.1:80\n"
    )
    with machine.started("docker-registry", "serve", config, log=folder / "registry.log"):
        yield


@pytest.fixture
def composed(machine, checkout, tmp_path):
    """The lines of the page typed, up to where everything runs."""
    passwords, *rest = [block for block in ONE_MACHINE if "POSTGRES_PASSWORD" in block or "docker compose" in block]
    machine.typed(passwords, checkout)
    deploy = checkout / "deploy"
    secrets = dict(line.split("=", 1) for line in (deploy / ".env").read_text().splitlines())
    with ExitStack() as stack:
        store = stack.enter_context(s3_server(secrets["S3_SECRET_KEY"], tmp_path))
        build_postgresql(machine, tmp_path)
        (deploy / "compose.override.yaml").write_text(yaml.safe_dump(stand_ins(tmp_path)))
        stack.callback(machine.run, "docker", "compose", "down", "--volumes", "--timeout", "1", cwd=deploy, check=False)
        try:
            told = [machine.typed(block, deploy) for block in rest]
        except AssertionError as error:
            error.add_note(logs(machine, deploy))
            raise
        yield deploy, told, store


@contextmanager
def s3_server(secret_key, folder):
    """Run an S3 server that knows the user of compose.yaml and has its bucket, behind a Unix socket."""
    gateway = CephGateway()
    gateway.access_key, gateway.secret_key = "mirror", secret_key
    (folder / "s3").mkdir()
    with gateway, led_from(folder / "s3" / "socket", gateway.port):
        gateway.make_bucket("distfile-mirror")
        yield gateway.store("distfile-mirror")


@contextmanager
def led_from(path, port):
    """Lead connections to a Unix socket to ``port`` of this machine."""
    command = [sys.executable, "-c", LEAD, "unix", str(path), "tcp", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def build_postgresql(machine, folder):
    """Make what stands in for the official image of PostgreSQL."""
    root = folder / "postgresql"
    root.mkdir()
    machine.import_root(postgresql_root(root), "root")
    (folder / "Dockerfile").write_text(POSTGRESQL)
    machine.run("docker", "build", "--tag", "postgres:17", "--file", folder / "Dockerfile", root / "etc")


def stand_ins(folder):
    """Return what is put over compose.yaml: what is not at hand here, and an upstream."""
    python = {"image": PYTHON, "networks": ["inside"]}
    asks = "import socket; socket.create_connection(('127.0.0.1', 8333), 5)"
    (folder / "files").mkdir()
    (folder / "files" / "foo-1.2.tar.gz").write_text(FOO)
    return {
        "services": {
            "s3": {
                **python,
                "command": ["python3", "-c", LEAD, "tcp", "8333", "unix", "/s3/socket"],
                "volumes": [f"{folder}/s3:/s3"],
                "healthcheck": {"test": ["CMD", "python3", "-c", asks]},
            },
            "bucket": {**python, "entrypoint": ["python3", "-c", ""]},
            "upstream": {
                **python,
                "command": ["python3", "-m", "http.server", "--directory", "/files", "80"],
                "networks": {"outside": {"aliases": ["up.test"]}},
                "volumes": [f"{folder}/files:/files:ro"],
            },
            # As many as may be given here.
            "web-proxy": {"ulimits": {"nofile": min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])}},
            # Where the upstream is, which is no public address.
            "cron-download-files": {"environment": {"DISTFILE_MIRROR_ALLOW_NETWORK": "172.16.0.0/12"}},
        }
    }


def test_everything_runs(machine, composed):
    deploy, told, store = composed
    assert "alice" in told[0]
    assert "BEGIN CERTIFICATE" in (deploy / "mirror-ca.pem").read_text()
    states = until_healthy(machine, deploy)
    assert sorted(states) == sorted([*COMPONENTS, *["cron-download-files"] * 2, "postgres", "s3"])
    admin, proxy = "http://127.0.0.1:8080", "http://127.0.0.1:3128"
    token = machine.run(
        *(sys.executable, "-m", "tests.acceptance.account_page", admin, "alice", PASSWORD), cwd=ROOT
    ).stdout
    use = ("--project", "firmware", "--reason", "to see it work", "--server", admin, "--token", token)
    added = machine.run(PROGRAM, "add", URI, *use, "--wait", "--timeout", "60", check=False)
    assert "is present" in added.stdout, added.stderr + logs(machine, deploy)
    check_the_stores_are_inside(machine)
    machine.run("docker", "kill", container(machine, "upstream"))
    assert machine.run("curl", "-sS", "--proxy", proxy, URI).stdout == FOO
    https = machine.run(
        "curl", "-sS", "--proxy", proxy, "--cacert", deploy / "mirror-ca.pem", URI.replace("http", "https")
    )
    assert "nobody declared it" in https.stdout
    stored = [each["path"] for page in obstore.list(store) for each in page]
    assert stored == [f"blobs/sha256/{SHA256[:2]}/{SHA256}"]
    secret = inside(machine, "s3", "print(open('/run/secrets/s3.json').read())").stdout
    assert json.loads(secret)["identities"][0]["name"] == "mirror"
    check_nobody_has_rights(machine)
    assert ends(machine, deploy) == {0}


def until_healthy(machine, deploy):
    """Return the names of services, one for each container, once all that stays is healthy."""
    until = time.monotonic() + HEALTHY_SECONDS
    while True:
        found = [each for each in inspected(machine, deploy) if "Health" in each["State"]]
        if {each["State"]["Health"]["Status"] for each in found} == {"healthy"}:
            return [each["Config"]["Labels"]["com.docker.compose.service"] for each in found]
        assert time.monotonic() < until, logs(machine, deploy)
        time.sleep(1)


def inspected(machine, deploy, *services):
    ids = machine.run("docker", "compose", "ps", "--all", "--quiet", *services, cwd=deploy).stdout.split()
    return json.loads(machine.run("docker", "inspect", *ids).stdout)


def logs(machine, deploy):
    return machine.run("docker", "compose", "logs", "--no-color", cwd=deploy, check=False).stdout[-20_000:]


def container(machine, service):
    return machine.run("docker", "ps", "--quiet", "--filter", f"name=_{service}_1$").stdout.strip()


def inside(machine, service, code):
    """Run Python in a container; return the finished process."""
    return machine.run("docker", "exec", container(machine, service), "python3", "-c", code, check=False)


def check_nobody_has_rights(machine):
    for service in COMPONENTS:
        status = inside(machine, service, "print(open('/proc/1/status').read())").stdout
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {"10001"}
        assert (fields["CapEff"], fields["CapBnd"], fields["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def check_the_stores_are_inside(machine):
    reach = "import socket; socket.create_connection(('{}', {}), 5)"
    for service, host, port, reached in (
        ("web-proxy", "postgres", 5432, True),
        ("web-proxy", "s3", 8333, True),
        ("upstream", "postgres", 5432, False),
        ("upstream", "s3", 8333, False),
        ("cron-download-files", "up.test", 80, True),
        ("verify", "up.test", 80, False),
    ):
        assert (inside(machine, service, reach.format(host, port)).returncode == 0) == reached, (service, host)


def ends(machine, deploy):
    """Stop the components; return their exit codes."""
    machine.run("docker", "compose", "stop", *COMPONENTS, cwd=deploy)
    return {each["State"]["ExitCode"] for each in inspected(machine, deploy, *COMPONENTS)}
