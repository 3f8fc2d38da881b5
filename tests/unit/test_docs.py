"""What README and docs say holds together: fresh where it is generated, with links that lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HOST = re.compile(r"https?://(?:[^\s/@]+@)?(\[[^\]]+\]|[^\s/:`'\"<>)|&]+)")
EXAMPLE_HOST = re.compile(r"127\.0\.0\.1|localhost|host|(.+\.)?example\.org|.+\.test")
# The one real address to try things out with; `serve` prints it.
REAL_HOSTS = {"www.rfc-editor.org"}
LANGUAGES = {"sh", "text", "mermaid"}
MAX_IMAGE_BYTES = 100_000

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_generated_parts_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run: make docs; stale are:\n{done.stdout}{done.stderr}"


@each_page
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if "://" in target:
            continue
        path = (page.parent / target.partition("#")[0]).resolve()
        assert path.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert path.exists(), f"{target} is not there"


@each_page
def test_examples_name_no_real_host(page):
    hosts = set(HOST.findall(page.read_text(encoding="utf-8")))
    assert {host for host in hosts if not EXAMPLE_HOST.fullmatch(host)} <= REAL_HOSTS


@each_page
def test_nothing_is_told_that_a_reader_cannot_look_up(page):
    text = page.read_text(encoding="utf-8")
    assert f"{ROOT.parent}/" not in text, "a path of the machine that it was written on"
    assert not re.findall(r"(?<!PKCS )(?<![\w&])#[0-9]+\b", text), "a number of some tracker"


@each_page
def test_blocks_say_what_they_are(page):
    """What is marked sh is run by the acceptance tests, so that it works when it is pasted."""
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}


def test_every_page_can_be_reached_from_the_readme():
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
        paths = [(page.parent / target).resolve() for target in targets if "://" not in target]
        left += [path for path in paths if path.suffix == ".md" and path.exists()]
        left += [child for path in paths if path.is_dir() for child in path.glob("*.md")]
    assert set(PAGES) <= seen


def test_decisions_are_numbered():
    for page in (ROOT / "docs" / "adr").glob("*.md"):
        number, title = page.name.partition("-")[0], page.read_text(encoding="utf-8").partition("\n")[0]
        assert title.startswith(f"# {int(number)}. "), f"{page.name} begins with {title!r}"


def test_images_are_small():
    for image in (ROOT / "docs" / "images").iterdir():
        assert image.stat().st_size < MAX_IMAGE_BYTES, image.name
