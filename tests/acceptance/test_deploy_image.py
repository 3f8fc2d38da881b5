"""deploy/Dockerfile: built by buildah, without an engine, and run with nothing writable but its data."""

import os
import subprocess
from contextlib import ExitStack

import pytest

from distfile_mirror import __version__
from tests.acceptance import container_image

pytestmark = pytest.mark.timeout(600)


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
def machine(image, tmp_path):
    """Return a function that starts one command in the image."""
    root, config = image
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    with ExitStack() as ended:

        def start(*arguments):
            told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            process = container_image.start(root, config, data, *arguments, **told)
            ended.callback(process.wait)
            ended.callback(process.kill)
            return process

        yield start


def test_version(machine):
    asked = machine("--version")
    told, _ = asked.communicate(timeout=60)
    assert (asked.returncode, told) == (0, f"distfile-mirror {__version__}\n")


def test_nothing_but_its_data_can_be_written(machine):
    refused = machine("ca", "init", "--ca-dir", "/opt/distfile-mirror/ca")
    told, _ = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "Read-only file system" in told
