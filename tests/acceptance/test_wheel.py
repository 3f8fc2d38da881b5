"""The wheel, installed into an empty environment outside the checkout, is the whole product."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.acceptance.running_mirror import DIRECT, RunningMirror, clean_environment
from tests.requirements import skip
from tests.upstream_server import file

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "distfile_mirror"
UNREACHABLE = re.compile(r"Retrying|ConnectionError|Connection refused|timed out|name resolution", re.IGNORECASE)


def pip(python, *arguments):
    # The environment of this process, since the way to the package index may be in it.
    return subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """`distfile-mirror` in an environment that has the wheel and the pinned dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    done = pip(python, "install", "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt")
    if done.returncode and UNREACHABLE.search(done.stderr):
        skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    done = pip(python, "install", "--no-deps", "--no-index", wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    done = pip(python, "check")
    assert done.returncode == 0, done.stdout
    return folder / "bin" / "distfile-mirror"


def test_what_is_in_it(wheel):
    """All that the package has: no template, static file or migration is left behind, and nothing else is there."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        str(path.relative_to(PACKAGE.parent))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there
    for part in ("admin/templates/", "admin/static/", "catalog/migrations/0001_"):
        assert any(name.startswith(f"distfile_mirror/{part}") for name in packed)
    assert "distfile_mirror/py.typed" in packed


def test_what_it_says_of_itself(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    for minor in (11, 12, 13, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in metadata.get_all("Classifier")
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().startswith("# Distfile Mirror")


def test_it_serves(program, tmp_path, authority, upstream):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    upstream.routes["/a"] = file(b"a\n")
    with RunningMirror(
        tmp_path,
        upstream_ca=authority.ca_file,
        upstream={"up.test": upstream.port},
        flags=("--workers", "1"),
        program=program,
        cwd=elsewhere,
    ) as mirror:
        mirror.add("https://up.test/a")
        page = DIRECT.open(f"{mirror.admin}/files", timeout=10)
        with page:
            content = page.read().decode()
        assert "https://up.test/a" in re.sub("<[^>]*>", "", content)
        for reference in re.findall(r'(?:href|src)="(/static/[^"]+)"', content):
            with DIRECT.open(mirror.admin + reference, timeout=10) as answer:
                assert answer.status == 200
                assert answer.read()
        assert ".css" in content
        for path in ("/", "/files/declare", "/files/1", "/health", "/metrics", "/api/v1/openapi.json"):
            with DIRECT.open(mirror.admin + path, timeout=10) as answer:
                assert answer.status == 200
        got = subprocess.run(
            ["curl", "-sS", "--proxy", mirror.proxy, "--cacert", mirror.ca, "https://up.test/a"],
            capture_output=True,
            env=clean_environment(),
            check=True,
        )
        assert got.stdout == b"a\n"
    assert not list(elsewhere.iterdir())


def test_it_is_that_installation_which_runs(program, tmp_path):
    done = subprocess.run(
        [program.parent / "python", "-c", "import distfile_mirror; print(distfile_mirror.__file__)"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(program.parent.parent)
    assert sysconfig.get_path("purelib") not in done.stdout
