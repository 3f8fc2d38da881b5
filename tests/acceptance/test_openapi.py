"""The OpenAPI document is true: whatever is asked, right or wrong, no answer is a fault or outside of what it says.

Schemathesis asks, the same in every run: what the document allows and what it does not, and of what there is, too.
"""

import json
import time
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from distfile_mirror.admin.api import api
from tests.acceptance.account_page import token_of
from tests.acceptance.running_mirror import RunningMirror
from tests.acceptance.test_sign_in import PASSWORD, add_user
from tests.image_layout import ImageLayout, on
from tests.upstream_server import UpstreamServer, file

EXAMPLES = 15
# Also those of the examples in the document.
HOSTS = ("up.test", "example.org", "registry.test", "registry-1.docker.io")
ROUTINES = settings(suppress_health_check=list(HealthCheck), deadline=None)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
SIGN_IN = {"DISTFILE_MIRROR_SIGN_IN": "accounts", "DISTFILE_MIRROR_REQUIRE_APPROVAL": "true"}
LISTS = ("files", "images", "misses")
ROWS = 5
USE = ("--project", "firmware", "--reason", "to see it work")


def made_schema():
    """Return the document, as the server gives it, with bounded and always equal examples."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 17,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "no-shrink": True},
            "phases": {"coverage": {"unexpected-methods": []}},
        }
    )
    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.hook("map_path_parameters")(toward_what_is_there)
    schema.hook("map_body")(toward_what_is_there)
    return schema


def toward_what_is_there(_context, given):
    """Turn most numbers in paths, and in lists of bodies, into some that there are."""
    if not isinstance(given, dict):
        return given
    return {name: small(value) if name.endswith("_id") or name in LISTS else value for name, value in given.items()}


def small(value):
    if isinstance(value, list):
        return [small(each) for each in value]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value % ROWS + 1 if is_number and value % 3 and value > 0 else value


@pytest.fixture(scope="module")
def upstream(tmp_path_factory, authority):
    layout = ImageLayout(tmp_path_factory.mktemp("hub") / "layout")
    image = layout.image([layout.layer({"etc/version": b"12\n"})])
    index = layout.index([image.descriptor(platform=on("linux/amd64"))])
    routes = {f"/v2/team/app/blobs/sha256:{path.name}": file(path.read_bytes()) for path in layout.blobs()}
    for reference, made in (("12", index), (index.digest, index), (image.digest, image)):
        routes[f"/v2/team/app/manifests/{reference}"] = file(made.content, Content_Type=made.media_type)
    routes |= {f"/{name}": file(name.encode()) for name in ("a", "b", "c")}
    with UpstreamServer(authority.server_context(*HOSTS), routes=routes) as server:
        server.image, server.index = image, index
        yield server


@pytest.fixture(scope="module")
def start(tmp_path_factory, authority, upstream):
    """Start `serve` with some of everything in it."""
    running = []

    def start(name, environment=()):
        folder = tmp_path_factory.mktemp(name)
        flags = ("--workers", "1")
        led = dict.fromkeys(HOSTS, upstream.port)
        mirror = RunningMirror(
            folder, upstream_ca=authority.ca_file, upstream=led, flags=flags, environment=environment
        )
        mirror.start()
        running.append(mirror)
        return mirror

    yield start
    for mirror in running:
        mirror.stop()


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def site(start, upstream, session):
    """A mirror without sign-in: files, images, misses, hits."""
    mirror = start("open")
    fill(mirror, upstream, session)
    return mirror


@pytest.fixture(scope="module")
def guarded_site(start, session):
    """A mirror with accounts, where declarations wait. ``token``: of an administrator; neither is among the first."""
    mirror = start("guarded", SIGN_IN)
    roles = ("viewer", "declarer", "approver", "viewer", "administrator", "viewer")
    for name, role in (*((f"user{number}", role) for number, role in enumerate(roles)), ("ann", "administrator")):
        add_user(mirror, name, role)
    mirror.token = token_of(mirror.admin, "ann", PASSWORD)
    for number in range(ROWS):
        made = session.post(
            f"{mirror.admin}/api/v1/tokens",
            json={"name": f"token{number}", "role": "administrator"},
            headers=bearer(mirror),
            timeout=30,
        )
        assert made.status_code == 201, made.text
    mirror.token = made.json()["secret"]
    return mirror


def bearer(mirror):
    return {"Authorization": f"Bearer {mirror.token}"}


def fill(mirror, upstream, session):
    """Declare files and images, and ask for some that are not there."""
    mirror.add(*(f"https://up.test/{name}" for name in "abc"), wait=True)
    mirror.add("https://up.test/lost", wait=False)
    for digest in (upstream.index.digest, upstream.image.digest):
        mirror.run("add-image", f"up.test/team/app@{digest}", *USE, "--wait")
    proxies = {"http": mirror.proxy.replace("//", "//toolchain@")}
    for path in ("a", "wanted", "wanted?", quote("wänted")):
        session.get(f"http://up.test/{path}", proxies=proxies, timeout=30)
    until = time.monotonic() + 30
    while len(mirror.api("/misses")["misses"]) < 3:
        assert time.monotonic() < until, mirror.api("/misses")
        time.sleep(0.2)


def test_the_document_is_the_one_that_the_server_gives(site):
    assert site.api("/openapi.json") == json.loads(json.dumps(api.get_openapi_schema(), default=str))


@made_schema().parametrize()
@ROUTINES
def test_operations(case, site, session):
    case.call_and_validate(base_url=site.admin, session=session, checks=CHECKS)


@made_schema().include(path_regex="/(users|tokens|approvals|files)").parametrize()
@ROUTINES
def test_operations_by_token(case, guarded_site, session):
    case.call_and_validate(base_url=guarded_site.admin, session=session, headers=bearer(guarded_site), checks=CHECKS)


def test_the_token_held_all_the_time(guarded_site, session):
    # Whether the document's example came up among those that were tried, is chance.
    example = {"name": "alice", "role": "viewer", "password": "9f3 lantern-otter quay"}
    added = session.post(f"{guarded_site.admin}/api/v1/users", json=example, headers=bearer(guarded_site), timeout=30)
    assert added.status_code == 201 or "there is a user alice already" in added.text, added.text
    answer = session.get(f"{guarded_site.admin}/api/v1/users", headers=bearer(guarded_site), timeout=30)
    assert answer.status_code == 200
    assert {"ann", "alice"} <= {user["name"] for user in answer.json()["users"]}, "alice is the document's example"


def test_no_fault_was_logged(site, guarded_site):
    for mirror in (site, guarded_site):
        assert "request failed" not in mirror.log.read_text()
