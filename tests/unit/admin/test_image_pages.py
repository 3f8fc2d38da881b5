"""The pages of container images: nothing typed is lost, and a tag is never declared without its digest."""

import re
from dataclasses import replace

import pytest

from distfile_mirror.catalog.models import Image
from tests.unit.admin.registries import resolve_tag
from tests.unit.admin.test_pages import HOSTILE, text
from tests.unit.catalog.images import (
    AMD64,
    INDEX,
    blocked,
    declare,
    digest_of,
    failed,
    fetching,
    fresh,
    present,
    sha256,
)

pytestmark = pytest.mark.django_db

NAME = "registry.test/team/tool"
REFERENCE = f"{NAME}@{digest_of(AMD64)}"


@pytest.fixture(autouse=True)
def registries(settings, context):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, resolve_tag=resolve_tag)


def form(**given):
    return {"reference": REFERENCE, "platforms": "linux/amd64", "project": "firmware", "reason": "because", **given}


def test_an_empty_list_says_what_to_do(client):
    assert "No image has been declared yet" in text(client.get("/images"))


@pytest.mark.parametrize("path", ["/images", "/images/declare", "/images/{id}"])
def test_no_page_has_a_script_or_style_inside_or_from_elsewhere(client, path):
    page = text(client.get(path.format(id=present(INDEX).pk)))
    assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on[a-z]+=", page)
    assert 'href="/images"' in page
    assert "No sign-in is configured" in page
    for address in re.findall(r'(?:src|action|href)="([^"]*)"', page):
        assert address.startswith(("/", "#", "?")), address


def test_the_list_shows_state_reference_size_and_project(client):
    present(project="toolchain")
    failed(repository="team/gone", message="404 Not Found")
    page = text(client.get("/images"))
    for part in ("state-present", "team/", "tool</strong>", sha256(AMD64)[:12], "toolchain", "state-failed", "404 Not"):
        assert part in page
    assert "gone" not in text(client.get("/images?state=present"))
    assert "No image is like that" in text(client.get("/images", {"q": "nothing"}))
    page = text(client.get("/images", {"registry": "registry.test", "repository": "team/gone"}))
    assert "gone" in page
    assert "toolchain" not in page
    text(client.get("/images?state=lost"), 422)


def test_the_form_is_filled_in_from_the_address(client):
    page = text(client.get("/images/declare", {"reference": REFERENCE, "platform": ["linux/arm64", "linux/amd64"]}))
    assert f'value="{REFERENCE}"' in page
    assert 'value="linux/arm64 linux/amd64"' in page
    assert 'placeholder="linux/amd64"' in text(client.get("/images/declare")), "the default"


def test_declaring_leads_to_the_image(client):
    response = client.post("/images/declare", form(with_referrers="on", platforms="linux/arm64, linux/amd64"))
    image = Image.objects.get()
    assert (response.status_code, response.headers["Location"]) == (302, f"/images/{image.pk}")
    assert (image.platforms, image.with_referrers) == (["linux/arm64", "linux/amd64"], True)
    assert image.uses.get().declared_by == "tester"


def test_mistakes_stand_beside_what_was_typed(client):
    given = form(reference="A b", platforms="linux", licence="MTI", reason="why ever")
    page = text(client.post("/images/declare", given), 422)
    assert 'value="A b"' in page
    assert "why ever" in page
    given = form(reference=f"{NAME}@sha256:{'0' * 64}", platforms="linux", licence="MTI")
    page = text(client.post("/images/declare", given), 422)
    for part in ("linux&#x27; is not a platform", "MTI", 'value="MTI"'):
        assert part in page
    text(client.post("/images/declare", form(platforms="linux/amd64 " * 300 + "x")), 422)
    text(client.post("/images/declare", {}), 422)
    assert not Image.objects.exists()


def test_a_tag_alone_is_explained_and_can_be_resolved(client):
    page = text(client.post("/images/declare", form(reference=f"{NAME}:1.2", reason="why ever")), 422)
    for part in ("a tag moves", digest_of(INDEX), "Declare what 1.2 has now", "why ever", f'value="{NAME}:1.2"'):
        assert part in page
    response = client.post("/images/declare", form(reference=f"{NAME}:1.2", resolve="yes"))
    assert response.status_code == 302
    image = Image.objects.get()
    assert image.digest == digest_of(INDEX)
    assert image.evidence[0]["tag"] == "1.2"
    page = text(client.post("/images/declare", form(reference="away.test/a:1", resolve="yes")), 502)
    assert "away.test does not answer" in page
    assert "why" in text(client.post("/images/declare", form(reference="away.test/a:1", reason="why")), 422)


def test_an_image_shows_its_layers_uses_and_history(client):
    page = text(client.get(f"/images/{present(licence='MIT').pk}"))
    for part in ("Layers", digest_of(b"layer one"), "9 B", "firmware", "MIT", "podman pull", "Block this image"):
        assert part in page
    for action in ("declared", "use added", "fetched"):
        assert action in page
    assert "refresh" not in page


def test_an_index_shows_its_platforms_and_more_can_be_chosen(client):
    image = present(INDEX)
    page = text(client.get(f"/images/{image.pk}"))
    for part in ("linux/amd64", "not chosen", 'value="linux/arm64"', "attestation"):
        assert part in page
    path = f"/images/{image.pk}/platforms"
    assert "choose a platform" in text(client.post(path), 422)
    assert client.post(path, {"platform": ["linux/arm64"]}).headers["Location"] == f"/images/{image.pk}"
    assert fresh(image).platforms == ["linux/amd64", "linux/arm64"]


def test_pending_and_fetching_pages_refresh_themselves(client):
    for image in (declare(repository="other").image, fetching()):
        assert 'http-equiv="refresh"' in text(client.get(f"/images/{image.pk}"))


def test_retry_block_and_unblock(client):
    image = failed()
    assert "Try again" in text(client.get(f"/images/{image.pk}"))
    assert client.post(f"/images/{image.pk}/retry").status_code == 302
    assert "only what has failed" in text(client.post(f"/images/{image.pk}/retry"), 409)
    image = present(INDEX)
    assert "say why" in text(client.post(f"/images/{image.pk}/block", {"reason": " "}), 422)
    client.post(f"/images/{image.pk}/block", {"reason": HOSTILE})
    page = text(client.get(f"/images/{image.pk}"))
    assert HOSTILE not in page
    assert "Serve it again" in page
    client.post(f"/images/{image.pk}/unblock")
    assert fresh(image).state == "present"
    text(client.post(f"/images/{image.pk}/unblock"), 409)
    text(client.get("/images/99"), 404)


def test_what_others_wrote_does_nothing(client):
    image = blocked(reason=HOSTILE, project="<b>", actor=HOSTILE)
    for path in ("/images", f"/images/{image.pk}"):
        page = text(client.get(path))
        assert "<script>" not in page
        assert "<b>" not in page
