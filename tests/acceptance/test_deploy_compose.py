"""deploy/compose.yaml: accepted by Compose with the files that a user makes, and held against the product."""

import os
import shutil
import subprocess
from contextlib import ExitStack

import pytest
import yaml

from distfile_mirror.config import load_config
from tests.acceptance import known_settings
from tests.acceptance.pages import ROOT, blocks
from tests.acceptance.running_components import watched
from tests.acceptance.running_mirror import PROGRAM, RunningMirror, clean_environment
from tests.requirements import skip

PAGE = "docs/howto/deploy-on-one-machine.md"
COMPOSE = ROOT / "deploy" / "compose.yaml"
# Without a port but for metrics.
WATCHED = {"cron-download-files", "cron-download-containers", "verify"}
COMPONENTS = {"web-proxy", "web-admin", *WATCHED}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout in which the lines of the page were typed."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "deploy", checkout / "deploy", ignore=shutil.ignore_patterns(".env", "secrets"))
    [typed] = [block for block in blocks(PAGE) if "POSTGRES_PASSWORD" in block]
    subprocess.run(["bash", "-euo", "pipefail", "-c", typed], cwd=checkout, env=clean_environment(), check=True)
    return checkout / "deploy"


def compose(folder, *arguments):
    if not shutil.which("docker-compose"):
        skip("docker-compose is not installed (Debian: docker-compose)")
    return subprocess.run(
        ["docker-compose", "--file", "compose.yaml", *arguments],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services(folder):
    """All services, as Compose understands them."""
    done = compose(folder, "--profile", "once", "config")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


@pytest.fixture
def ours(services):
    return {name: each for name, each in services.items() if each["image"] == "distfile-mirror"}


def test_secrets_are_for_their_owner(folder):
    lines = (folder / ".env").read_text().splitlines()
    made = dict(line.split("=") for line in lines)
    assert {len(value) for name, value in made.items() if name != "COMPOSE_PROJECT_NAME"} == {48}
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert (folder / "secrets").stat().st_mode & 0o077 == 0
    identities = yaml.safe_load((folder / "secrets" / "s3.json").read_text())
    assert identities["identities"][0]["credentials"][0]["secretKey"] == made["S3_SECRET_KEY"]


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "S3_SECRET_KEY", "CA_PASSPHRASE"])
def test_nothing_starts_without_a_password(folder, name, tmp_path):
    shutil.copytree(folder, tmp_path / "deploy")
    path = tmp_path / "deploy" / ".env"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(name)))
    done = compose(tmp_path / "deploy", "--profile", "once", "config", "--quiet")
    assert done.returncode != 0
    assert "is not in .env" in done.stderr


def test_a_misspelt_key_would_be_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "deploy")
    path = tmp_path / "deploy" / "compose.yaml"
    path.write_text(path.read_text().replace("cap_drop", "cap_dorp"))
    assert compose(tmp_path / "deploy", "config", "--quiet").returncode != 0


def test_all_components_are_there(services, ours):
    assert set(ours) >= COMPONENTS
    assert set(services) - set(ours) == {"postgres", "s3", "bucket"}


def test_commands_and_settings_are_real(ours, monkeypatch):
    for name, service in ours.items():
        command = service["command"]
        assert known_settings.is_command(command[:1] if name == "ca" else command)
        variables = {variable: str(value) for variable, value in service["environment"].items()}
        assert not known_settings.unknown(variables)
        with monkeypatch.context() as patch:
            for variable in [variable for variable in os.environ if variable.startswith("DISTFILE_MIRROR_")]:
                patch.delenv(variable)
            for variable, value in variables.items():
                patch.setenv(variable, value)
            config = load_config()
        assert config.s3_endpoint == "http://s3:8333"
        assert "@postgres/" in config.database_url
        assert (config.ca_passphrase is not None) == (name in ("ca", "web-proxy"))
        assert (config.metrics_listen is not None) == (name in WATCHED)


def test_the_ca_is_made_as_the_file_says(ours, tmp_path):
    subprocess.run(
        [PROGRAM, *ours["ca"]["command"], "--ca-dir", tmp_path / "ca"],
        env=clean_environment(DISTFILE_MIRROR_CA_PASSPHRASE=ours["ca"]["environment"]["DISTFILE_MIRROR_CA_PASSPHRASE"]),
        capture_output=True,
        check=True,
    )
    assert "ENCRYPTED" in (tmp_path / "ca" / "ca.key").read_text()


def test_components_are_confined(ours):
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/tmp" in service["tmpfs"]


def test_what_is_waited_for(services):
    for name in COMPONENTS:
        after = {other: how["condition"] for other, how in services[name]["depends_on"].items()}
        assert after == dict.fromkeys(("migrate", "bucket"), "service_completed_successfully")
    for once, before in (("migrate", "postgres"), ("bucket", "s3")):
        assert services[once]["depends_on"][before]["condition"] == "service_healthy"
        assert "healthcheck" in services[before]


def test_database_and_store_are_inside(services):
    for name in ("postgres", "s3", "bucket"):
        assert list(services[name]["networks"]) == ["inside"]
        assert "ports" not in services[name]


def test_verify_reaches_nobody_else(services):
    assert set(services["verify"]["networks"]) == {"inside", "metrics"}


def test_people_come_from_this_machine_only(services):
    [port] = services["web-admin"]["ports"]
    assert "127.0.0.1" in str(port)


def test_prometheus_finds_what_has_a_port_for_metrics(services):
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    found = [each for job in config["scrape_configs"] for each in job.get("dns_sd_configs", ())]
    assert {name for each in found for name in each["names"]} == WATCHED
    for name in WATCHED:
        assert "metrics" in services[name]["networks"]
        assert services[name]["environment"]["DISTFILE_MIRROR_METRICS_LISTEN"] == f"0.0.0.0:{found[0]['port']}"
    assert {(each["type"], each["port"]) for each in found} == {("A", found[0]["port"])}


def test_health_checks_tell_health(ours, tmp_path):
    with RunningMirror(tmp_path, flags=("--workers", "1")) as mirror, ExitStack() as stack:
        ports = {"web-proxy": ("3128", mirror.proxy_port), "web-admin": ("8080", mirror.admin_port)}
        for name in WATCHED:
            ports[name] = ("9464", stack.enter_context(watched(tmp_path, name, mirror.data)))
        assert set(ports) == COMPONENTS
        for name, (usual, here) in ports.items():
            kind, python, *arguments = ours[name]["healthcheck"]["test"]
            assert (kind, python) == ("CMD", "python")
            arguments = [text.replace(f":{usual}/", f":{here}/") for text in arguments]
            command = [PROGRAM.parent / "python", *arguments]
            assert subprocess.run(command, env=clean_environment(), check=False).returncode == 0
            unused = [text.replace(f":{here}/", ":1/") for text in arguments]
            command = [PROGRAM.parent / "python", *unused]
            done = subprocess.run(command, env=clean_environment(), capture_output=True, check=False)
            assert done.returncode != 0
