"""People at work in a real browser, at the width of a desk and of a phone, in light and in dark.

Screenshots of every page are kept in the folder of DISTFILE_MIRROR_SCREENSHOTS, or else of the test.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.acceptance.running_mirror import PROGRAM, RunningMirror, clean_environment
from tests.image_layout import ImageLayout, on
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
# The console tells of pages that were refused, which is what some tests want.
REFUSED = re.compile("status of 4(04|22)")
MAX_PAGE_BYTES = 150_000
SLOW_BYTES = 4_000_000
ARRIVES_MILLISECONDS = 20_000
SCREENS = {
    "desk-light": (1280, "light"),
    "desk-dark": (1280, "dark"),
    "phone-light": (390, "light"),
    "phone-dark": (390, "dark"),
}


class Upstream:
    """What there is to mirror: a slow file, one that appears later, and an index of two platforms."""

    def __init__(self, folder, authority):
        self.layout = ImageLayout(folder)
        self.amd64 = self.layout.image([self.layout.layer({"amd64": b"x" * 10_000})])
        self.arm64 = self.layout.image([self.layout.layer({"arm64": b"y" * 10_000})], platform="linux/arm64/v8")
        self.index = self.layout.index(
            [
                self.amd64.descriptor(platform=on("linux/amd64")),
                self.arm64.descriptor(platform=on("linux/arm64/v8")),
            ]
        )
        routes = {
            "/slow.tar.gz": self.slow,
            "/wanted-1.0.tar.gz": file(b"wanted"),
            "/two-2.0.tar.gz": file(b"two"),
        }
        for path in self.layout.blobs():
            routes[f"/v2/team/app/blobs/sha256:{path.name}"] = file(path.read_bytes())
        for made in (self.index, self.amd64, self.arm64):
            routes[f"/v2/team/app/manifests/{made.digest}"] = file(made.content, Content_Type=made.media_type)
        routes["/v2/team/app/manifests/12"] = file(self.index.content, Content_Type=self.index.media_type)
        self.server = UpstreamServer(authority.server_context("up.test"), routes=routes)

    def slow(self, exchange):
        exchange.head(200, "OK", {"Content-Length": str(SLOW_BYTES)})
        for _ in range(20):
            exchange.send(bytes(SLOW_BYTES // 20))
            self.pause(0.2)

    @staticmethod
    def pause(seconds):
        import time

        time.sleep(seconds)


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        skip("the package chromium is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, authority):
    """A mirror with its upstream, and a browser's way to it."""
    folder = tmp_path_factory.mktemp("browser")
    upstream = Upstream(folder / "layout", authority)
    with (
        upstream.server as server,
        RunningMirror(folder, upstream_ca=authority.ca_file, upstream={"up.test": server.port}) as mirror,
    ):
        mirror.upstream = upstream
        yield mirror


@pytest.fixture(params=SCREENS)
def screen(request):
    return request.param


@pytest.fixture
def page(browser, site, screen):
    width, scheme = SCREENS[screen]
    yield from watched_page(browser, site.admin, width, scheme)


@pytest.fixture
def desk(browser, site):
    yield from watched_page(browser, site.admin, 1280, "light")


def watched_page(browser, address, width, scheme):
    """Open a page that may ask this server alone, and whose scripts do not fail."""
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
    )
    opened = context.new_page()
    foreign, errors = [], []
    opened.on("request", lambda asked: None if asked.url.startswith(address) else foreign.append(asked.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console",
        lambda said: errors.append(said.text) if said.type == "error" and not REFUSED.search(said.text) else None,
    )
    yield opened
    context.close()
    assert foreign == []
    assert errors == []


def fill_use(page, project="firmware", reason="to see it work", licence="MIT"):
    page.get_by_label("Project").last.fill(project)
    page.get_by_label("Reason").last.fill(reason)
    page.get_by_label(re.compile("^Licence")).last.fill(licence)


def curl(site, url, label="firmware"):
    proxy = site.proxy.replace("://", f"://{label}@")
    return subprocess.run(
        ["curl", "-sS", "--proxy", proxy, "--cacert", site.ca, url],
        capture_output=True,
        check=False,
        timeout=30,
        env=clean_environment(),
    ).stdout


def test_declare_a_file_and_watch_it_arrive(desk):
    desk.goto("/files/declare")
    desk.get_by_label("URIs", exact=True).fill("https://up.test/slow.tar.gz")
    fill_use(desk)
    desk.get_by_role("button", name=re.compile("Declare")).click()
    expect(desk.locator("#live .state")).to_have_text("fetching", timeout=ARRIVES_MILLISECONDS)
    expect(desk.locator("progress")).to_be_visible()
    expect(desk.locator("#live .state")).to_have_text("present", timeout=ARRIVES_MILLISECONDS)
    expect(desk.get_by_role("heading", name="Get it", exact=True)).to_be_visible()


def test_mistakes_stand_beside_their_fields_and_nothing_typed_is_lost(desk):
    desk.goto("/files/declare")
    desk.get_by_label("URIs", exact=True).fill("https://up.test/a nonsense")
    fill_use(desk, licence="No Such Licence")
    desk.get_by_role("button", name=re.compile("Declare")).click()
    expect(desk.locator(".field.wrong")).not_to_have_count(0)
    expect(desk.get_by_label("Reason").last).to_have_value("to see it work")
    desk.locator(".problems a").first.click()


def test_a_failed_file_is_explained_and_tried_again(desk, site):
    site.run("add", "https://up.test/later.tar.gz", "--project", "firmware", "--reason", "r", "--wait", check=False)
    desk.goto("/files?state=failed")
    desk.get_by_role("link", name=re.compile("later")).click()
    expect(desk.get_by_text("answered 404 Not Found")).not_to_have_count(0)
    site.upstream.server.routes["/later.tar.gz"] = file(b"later")
    desk.get_by_role("button", name="Try again", exact=True).click()
    expect(desk.locator("#live .state")).to_have_text("present", timeout=ARRIVES_MILLISECONDS)


def test_a_build_misses_is_listed_and_declared_from_there(desk, site):
    label = "nightly"
    for name in ("wanted-1.0", "two-2.0"):
        assert b"not mirrored" in curl(site, f"https://up.test/{name}.tar.gz", label)
    desk.goto(f"/misses?label={label}")
    for _ in range(20):
        if desk.locator("tbody tr").count() == 2:
            break
        desk.wait_for_timeout(500)
        desk.reload()
    expect(desk.locator("tbody tr")).to_have_count(2)
    desk.get_by_label("Tick all").check()
    fill_use(desk, project=label)
    desk.get_by_role("button", name=re.compile("Declare")).click()
    expect(desk.get_by_text("2 declared")).to_be_visible()
    for name, content in (("wanted-1.0", b"wanted"), ("two-2.0", b"two")):
        site.run("wait", f"https://up.test/{name}.tar.gz", "--timeout", "30")
        for _ in range(10):  # a miss is remembered for a second
            if curl(site, f"https://up.test/{name}.tar.gz", label) == content:
                break
            desk.wait_for_timeout(300)
        assert curl(site, f"https://up.test/{name}.tar.gz", label) == content
    desk.goto(f"/misses?label={label}")
    expect(desk.locator("tbody tr")).to_have_count(0)


def test_an_image_by_tag_and_more_platforms_later(desk, site):
    desk.goto("/images/declare")
    desk.get_by_label("Reference").fill("up.test/team/app:12")
    desk.get_by_label(re.compile("^Platforms")).fill("linux/amd64")
    fill_use(desk)
    desk.get_by_role("button", name="Declare", exact=True).click()
    expect(desk.get_by_text(site.upstream.index.digest).first).to_be_visible()
    desk.get_by_role("button", name=re.compile("Declare what 12 has now")).click()
    expect(desk.locator("#live .state")).to_have_text("present", timeout=ARRIVES_MILLISECONDS)
    desk.get_by_label("linux/arm64").check()
    desk.get_by_role("button", name="Fetch these too").click()
    expect(desk.locator("#live .state")).to_have_text("present", timeout=ARRIVES_MILLISECONDS)
    desk.reload()
    expect(desk.locator("tr", has_text="linux/arm64").locator(".state")).to_have_text("present")


def test_export_of_a_project(desk):
    desk.goto("/projects")
    desk.get_by_role("link", name="firmware", exact=True).click()
    with desk.expect_download() as download:
        desk.get_by_role("link", name="SBOM (CycloneDX)").click()
    bom = json.loads(Path(download.value.path()).read_text())
    assert bom["specVersion"] == "1.6"
    assert bom["components"]


def test_copying_and_the_keyboard(desk):
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.goto("/setup")
    desk.get_by_role("button", name=re.compile("Copy the lines for curl")).click()
    assert "curl --proxy" in desk.evaluate("navigator.clipboard.readText()")
    desk.keyboard.press("/")
    expect(desk.get_by_role("searchbox")).to_be_focused()


def test_the_theme_is_remembered(desk):
    desk.goto("/files")
    desk.get_by_role("button", name="dark", exact=True).click()
    assert desk.url.endswith("/files")
    expect(desk.locator("html")).to_have_attribute("data-theme", "dark")


PAGES = [
    *("/", "/files", "/files?q=up.test&state=present", "/files/declare", "/files/1", "/misses", "/projects"),
    *("/projects/1", "/projects/unknown-licences", "/projects/unused", "/projects/undeclared", "/audit", "/setup"),
    *("/images", "/images/declare", "/images/1", "/registries", "/registries/1", "/files/99999"),
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_on_every_screen(page, screen, path, tmp_path):
    received = []
    page.on("response", lambda answer: received.append(int(answer.headers.get("content-length", 0))))
    page.goto(path)
    name = re.sub(r"\W+", "-", path.strip("/")) or "home"
    keep(page, f"{name}-{screen}", tmp_path)
    assert sum(received) < MAX_PAGE_BYTES
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, "it is wider than the screen"
    assert_accessible(page)


def keep(page, name, folder):
    """Keep a screenshot."""
    folder = Path(os.environ.get("DISTFILE_MIRROR_SCREENSHOTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def assert_accessible(page):
    """axe finds nothing serious."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in {"serious", "critical"}]
    assert serious == [], json.dumps([(each["id"], [node["target"] for node in each["nodes"]]) for each in serious])


def test_first_paint_needs_no_script(browser, site):
    context = browser.new_context(base_url=site.admin, java_script_enabled=False)
    page = context.new_page()
    page.goto("/files")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    context.close()


class TestRoles:
    """Who signs in sees what the role allows; what a declarer declares waits for an approver."""

    PASSWORD = "a long and quiet river"

    @pytest.fixture
    def guarded(self, tmp_path, authority):
        upstream = Upstream(tmp_path / "layout", authority)
        settings = {"DISTFILE_MIRROR_SIGN_IN": "accounts", "DISTFILE_MIRROR_REQUIRE_APPROVAL": "true"}
        with (
            upstream.server as server,
            RunningMirror(
                tmp_path, upstream_ca=authority.ca_file, upstream={"up.test": server.port}, environment=settings
            ) as mirror,
        ):
            for name, role in (("dora", "declarer"), ("ann", "approver"), ("vic", "viewer"), ("ada", "administrator")):
                command = [PROGRAM, "users", "add", name, "--role", role, "--data-dir", mirror.data]
                subprocess.run(
                    command, input=self.PASSWORD, text=True, check=True, capture_output=True, env=clean_environment()
                )
            yield mirror

    @pytest.fixture
    def person(self, browser, guarded, tmp_path):
        opened = []

        def sign_in(name):
            context = browser.new_context(base_url=guarded.admin, viewport={"width": 1280, "height": 900})
            opened.append(context)
            page = context.new_page()
            page.goto("/files/declare")
            assert_accessible(page)
            keep(page, "sign-in", tmp_path)
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill(self.PASSWORD)
            page.get_by_role("main").get_by_role("button", name="Sign in").click()
            return page

        yield sign_in
        for context in opened:
            context.close()

    def test_a_declaration_waits_for_approval(self, person, tmp_path):
        dora = person("dora")
        dora.get_by_label("URIs", exact=True).fill("https://up.test/wanted-1.0.tar.gz")
        fill_use(dora)
        dora.get_by_role("button", name=re.compile("Declare")).click()
        expect(dora.locator("#live .state")).to_have_text("requested")
        assert_accessible(dora)
        ann = person("ann")
        ann.goto("/requests")
        assert_accessible(ann)
        keep(ann, "requests", tmp_path)
        ann.get_by_label("https://up.test/wanted-1.0.tar.gz").check()
        ann.get_by_role("button", name=re.compile("Approve")).click()
        dora.reload()
        expect(dora.locator("#live .state")).to_have_text("present", timeout=ARRIVES_MILLISECONDS)

    def test_a_viewer_may_look_and_an_administrator_sees_people(self, person, tmp_path):
        vic = person("vic")
        expect(vic.get_by_text("declarer")).not_to_have_count(0)  # which role it takes
        vic.goto("/files")
        expect(vic.get_by_role("link", name="Declare files")).to_have_count(0)
        vic.goto("/account")
        assert_accessible(vic)
        keep(vic, "account", tmp_path)
        ada = person("ada")
        ada.goto("/users")
        expect(ada.get_by_text("dora")).not_to_have_count(0)
        assert_accessible(ada)
        keep(ada, "users", tmp_path)
