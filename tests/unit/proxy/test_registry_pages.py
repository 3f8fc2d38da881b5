"""What container clients print when an image is not there."""

import json

import pytest

from distfile_mirror.catalog.found import FoundContent, MissingImage, Why
from distfile_mirror.model.states import State
from distfile_mirror.proxy.files import head_of, served_content
from distfile_mirror.proxy.pages import render
from distfile_mirror.proxy.registry_pages import missing_image_page
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest
from distfile_mirror.proxy.responses import plan_response

ADMIN = "http://127.0.0.1:8080"
DIGEST = "sha256:" + "ab" * 32


def answer(why, *, reference=DIGEST, kind=Kind.MANIFEST, **facts):
    missing = MissingImage("docker.io", "library/debian", reference, why, **facts)
    page = missing_image_page(missing, RegistryRequest(kind), ADMIN)
    lines, body = render(page, html=True)
    assert b"Content-Type: application/json\r\n" in lines
    (error,) = json.loads(body)["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert page.reason.isascii()
    return page.status, error["code"], error["message"]


def test_undeclared_links_to_the_form_filled_in():
    status, code, message = answer(Why.NOT_DECLARED)
    assert (status, code) == (404, "MANIFEST_UNKNOWN")
    assert f"{ADMIN}/images/declare?reference=docker.io%2Flibrary%2Fdebian%40sha256%3Aab" in message


def test_by_tag_names_what_is_present():
    status, code, message = answer(Why.BY_TAG, reference="12", present=((DIGEST, "12"), ("sha256:cd", "")))
    assert (status, code) == (404, "MANIFEST_UNKNOWN")
    assert "never by tag" in message
    assert f"{DIGEST} (12), sha256:cd" in message
    assert "declare?reference=docker.io%2Flibrary%2Fdebian%3A12" in message


def test_a_platform_that_was_not_chosen():
    _, _, message = answer(Why.PLATFORM_NOT_CHOSEN, platform="linux/arm64", image_id=7)
    assert message.startswith("platform not mirrored")
    assert "linux/arm64" in message
    assert message.endswith(f"{ADMIN}/images/7")


def test_a_blob_of_no_image():
    assert answer(Why.NOT_A_PART, kind=Kind.BLOB)[:2] == (404, "BLOB_UNKNOWN")
    assert answer(Why.NOT_DECLARED, kind=Kind.TAGS, reference="")[1] == "NAME_UNKNOWN"


@pytest.mark.parametrize("state", [state for state in State if state is not State.PRESENT])
def test_every_state_is_explained(state):
    status, code, message = answer(Why.DECLARED, state=state, message="because", received_bytes=1234, total_bytes=5678)
    assert (status, code) == ((451, "DENIED") if state is State.BLOCKED else (404, "MANIFEST_UNKNOWN"))
    assert "because" in message or state is State.REQUESTED
    assert ("1,234 of 5,678" in message) == (state is State.FETCHING)


def test_headers_of_a_manifest():
    found = FoundContent(DIGEST, "application/vnd.oci.image.index.v1+json", 3, content=b"abc")
    file = served_content(found, "docker.io")
    head = head_of(plan_response({}, file.representation), file)
    assert head == (
        b"Content-Type: application/vnd.oci.image.index.v1+json\r\nDocker-Content-Digest: %s\r\n"
        b'OCI-Namespace: docker.io\r\nETag: "%s"\r\nAccept-Ranges: bytes\r\nContent-Length: 3\r\n'
    ) % (DIGEST.encode(), DIGEST.encode())
    changing = served_content(FoundContent("x", "a/b", 1, content=b"a", permanent=False), "")
    assert b"Docker-Content-Digest" not in changing.headers
