"""The REST API of images: a digest is declared, never a tag, and every refusal is a problem document."""

import re
from dataclasses import replace

import pytest
from django.test import Client

from distfile_mirror.admin.image_documents import ImageDetails
from distfile_mirror.catalog.models import Image
from tests.unit.admin.registries import resolve_tag
from tests.unit.admin.test_api import fields, post
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    INDEX,
    blocked,
    declare,
    digest_of,
    failed,
    fresh,
    present,
)

pytestmark = pytest.mark.django_db

IMAGES = "/api/v1/images"
NAME = "registry.test/team/tool"
REFERENCE = f"{NAME}@{digest_of(AMD64)}"
USE = {"project": "firmware", "reason": "base of the build"}


@pytest.fixture(autouse=True)
def registries(settings, context):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, resolve_tag=resolve_tag)


@pytest.fixture
def api():
    return Client(enforce_csrf_checks=True)


def problem(response, status):
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["detail"]
    assert set(document) - {"resolved"} == {"type", "title", "status", "detail", "instance", "errors"}
    return document


def test_a_new_declaration_is_created_with_all_that_is_known(api):
    response = post(api, IMAGES, {"reference": f"docker://{NAME}:1.2@{digest_of(AMD64)}", **USE, "licence": "mit"})
    assert response.status_code == 201
    document = response.json()
    assert set(document) == set(ImageDetails.model_fields)
    assert document["reference"] == REFERENCE
    assert (document["registry"], document["repository"]) == ("registry.test", "team/tool")
    assert (document["tag"], document["state"]) == ("1.2", "pending")
    assert document["chosen_platforms"] == ["linux/amd64"], "the default"
    assert document["size"] is document["media_type"] is document["fetched_at"] is None
    assert document["layers"] == document["platforms"] == document["referrers"] == document["evidence"] == []
    assert document["progress"] == {"received_bytes": 0, "total_bytes": None}
    assert document["url"] == f"http://127.0.0.1:8080/images/{document['id']}"
    assert document["uses"][0]["licence"] == "MIT"


def test_parts_given_apart_name_the_same_image(api):
    first = post(api, IMAGES, {"reference": REFERENCE, **USE}).json()
    parts = {"registry": "https://Registry.test/v2/", "repository": "team/tool", "digest": digest_of(AMD64)}
    given = {**parts, **USE, "project": "toolchain", "platforms": ["linux/arm64"], "with_referrers": True}
    response = post(api, IMAGES, given)
    assert response.status_code == 200
    document = response.json()
    assert document["id"] == first["id"]
    assert [use["project"] for use in document["uses"]] == ["firmware", "toolchain"]
    assert document["chosen_platforms"] == ["linux/amd64", "linux/arm64"]
    assert document["with_referrers"]


@pytest.mark.parametrize(("given", "tag"), [(f"{NAME}:1.2", "1.2"), (NAME, "latest")])
def test_a_tag_alone_is_refused_with_what_it_means_now(api, given, tag):
    document = problem(post(api, IMAGES, {"reference": given, **USE}), 422)
    assert fields(document) == {"reference"}
    (error,) = document["errors"]
    assert "a tag moves" in error["message"]
    assert digest_of(INDEX) in error["message"]
    resolved = document["resolved"]
    assert resolved["reference"] == f"{NAME}:{tag}@{digest_of(INDEX)}"
    assert resolved["digest"] == digest_of(INDEX)
    assert resolved["platforms"] == ["linux/amd64", "linux/arm64"]
    assert resolved["at"].endswith("Z")
    assert not Image.objects.exists()
    assert post(api, IMAGES, {"reference": resolved["reference"], **USE}).status_code == 201


@pytest.mark.parametrize(
    ("given", "why"), [("away.test/a:1.2", "away.test does not answer"), (f"{NAME}:9", "there is no 9")]
)
def test_a_tag_that_cannot_be_resolved_is_refused_with_the_reason(api, given, why):
    document = problem(post(api, IMAGES, {"reference": given, **USE}), 422)
    assert document["resolved"] is None
    assert "a tag moves" in document["errors"][0]["message"]
    assert why in document["errors"][0]["message"]


def test_a_tag_is_resolved_if_that_is_asked_for(api):
    response = post(api, IMAGES, {"reference": f"{NAME}:1.2", **USE, "resolve": True})
    assert response.status_code == 201
    document = response.json()
    assert document["digest"] == digest_of(INDEX)
    (evidence,) = document["evidence"]
    assert (evidence["tag"], evidence["digest"]) == ("1.2", digest_of(INDEX))
    assert evidence["at"]
    assert (
        "away.test"
        in problem(post(api, IMAGES, {"reference": "away.test/a:1.2", **USE, "resolve": True}), 502)["detail"]
    )
    assert fields(problem(post(api, IMAGES, {"reference": f"{NAME}:9", **USE, "resolve": True}), 422)) == {"reference"}


def test_resolving_records_nothing(api):
    document = post(api, f"{IMAGES}/resolve", {"reference": f"{NAME}:1.2"}).json()
    assert document["reference"] == f"{NAME}:1.2@{digest_of(INDEX)}"
    assert not Image.objects.exists()
    problem(post(api, f"{IMAGES}/resolve", {"reference": "away.test/a"}), 502)
    assert fields(problem(post(api, f"{IMAGES}/resolve", {"reference": "A B"}), 422)) == {"reference"}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"project", "reason"}),
        (USE, {"reference"}),
        ({**USE, "reference": "x://y"}, {"reference"}),
        ({**USE, "reference": f"{NAME}@sha256:12"}, {"reference"}),
        ({**USE, "reference": REFERENCE, "digest": digest_of(AMD64)}, {"digest"}),
        ({**USE, "registry": "a b", "digest": "x"}, {"registry", "repository", "digest"}),
        ({**USE, "reference": REFERENCE, "platforms": ["linux"], "licence": "("}, {"platforms", "licence"}),
        ({**USE, "reference": REFERENCE, "platforms": "linux/amd64"}, {"platforms"}),
        ({**USE, "reference": REFERENCE, "platform": "linux/amd64"}, {"platform"}),
    ],
)
def test_every_wrong_field_is_named(api, body, wrong):
    assert fields(problem(post(api, IMAGES, body), 422)) == wrong
    assert not Image.objects.exists()


def test_a_present_image_shows_its_layers(api):
    document = api.get(f"{IMAGES}/{present().pk}").json()
    assert [layer["role"] for layer in document["layers"]] == ["config", "layer", "layer", "layer"]
    assert document["layers"][1]["size"] == 9
    assert document["media_type"]
    assert document["size"]


def test_an_index_shows_its_platforms_and_more_can_be_chosen(api):
    image = present(INDEX)
    document = api.get(f"{IMAGES}/{image.pk}").json()
    assert [(each["platform"], each["state"]) for each in document["platforms"]] == [
        ("linux/amd64", "present"),
        ("linux/arm64", "not chosen"),
        ("unknown/unknown", "present"),
    ]
    path = f"{IMAGES}/{image.pk}/platforms"
    document = post(api, path, {"platforms": ["linux/arm64"]}).json()
    assert document["state"] == "pending"
    assert document["platforms"][1]["state"] == "pending"
    assert fields(problem(post(api, path, {"platforms": ["linux/s390x"]}), 422)) == {"platforms"}
    assert fields(problem(post(api, path, {}), 422)) == {"platforms"}


def test_the_list_is_filtered_and_paged(api):
    for number in range(5):
        declare(repository=f"team/a{number}")
    present(INDEX, registry="other.test", repository="b", project="toolchain")
    first = api.get(IMAGES, {"q": "TEAM/", "limit": 3}).json()
    assert [image["repository"] for image in first["images"]] == ["team/a4", "team/a3", "team/a2"]
    second = api.get(IMAGES, {"q": "TEAM/", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [image["repository"] for image in second["images"]] == ["team/a1", "team/a0"]
    assert second["next_cursor"] is None
    for given in (
        {"project": "toolchain"},
        {"state": "present"},
        {"registry": "https://other.test"},
        {"repository": "b"},
        {"digest": digest_of(INDEX)},
    ):
        assert [image["repository"] for image in api.get(IMAGES, given).json()["images"]] == ["b"]


@pytest.mark.parametrize(
    ("path", "given", "wrong"),
    [
        (IMAGES, {"limit": "0"}, "limit"),
        (IMAGES, {"state": "lost"}, "state"),
        (IMAGES, {"digest": "x"}, "digest"),
        (IMAGES, {"registry": "a b"}, "registry"),
        (IMAGES, {"cursor": "!"}, "cursor"),
        (IMAGES, {"uri": "x"}, "uri"),
        ("/api/v1/registries", {"q": "x"}, "q"),
        ("/api/v1/registries/1", {"cursor": "!"}, "cursor"),
        ("/api/v1/repositories/1", {"x": "y"}, "x"),
    ],
)
def test_a_list_that_cannot_be_names_the_parameter(api, path, given, wrong):
    declare()
    ids = Image.objects.values_list("repository_id", "repository__registry_id").get()
    path = path.replace("repositories/1", f"repositories/{ids[0]}").replace("registries/1", f"registries/{ids[1]}")
    assert fields(problem(api.get(path, given), 422)) == {wrong}


def test_images_are_retried_blocked_and_unblocked(api):
    image = failed()
    assert post(api, f"{IMAGES}/{image.pk}/retry").json()["state"] == "pending"
    problem(post(api, f"{IMAGES}/{image.pk}/retry"), 409)
    image = present(ARM64)
    assert fields(problem(post(api, f"{IMAGES}/{image.pk}/block", {"reason": " "}), 422)) == {"reason"}
    document = post(api, f"{IMAGES}/{image.pk}/block", {"reason": "malicious"}).json()
    assert (document["state"], document["message"]) == ("blocked", "malicious")
    assert post(api, f"{IMAGES}/{image.pk}/unblock").json()["state"] == "present"
    problem(post(api, f"{IMAGES}/{image.pk}/unblock"), 409)


def test_registries_and_repositories(api):
    image = present()
    blocked(ARM64)
    (listed,) = api.get("/api/v1/registries").json()["registries"]
    assert (listed["name"], listed["images"]) == ("registry.test", 2)
    assert listed["bytes"] > image.size
    registry = api.get(f"/api/v1/registries/{listed['id']}").json()
    assert registry["name"] == "registry.test"
    (found,) = registry["repositories"]
    repository = api.get(f"/api/v1/repositories/{found['id']}").json()
    assert (repository["registry"], repository["name"], repository["images"]) == ("registry.test", "team/tool", 2)
    assert [each["digest"] for each in repository["image_list"]] == [digest_of(ARM64), digest_of(AMD64)]
    assert fresh(image).repository_id == found["id"]


@pytest.mark.parametrize(
    "path",
    [
        f"{IMAGES}/99",
        f"{IMAGES}/x",
        f"{IMAGES}/{'9' * 30}",
        "/api/v1/registries/99",
        "/api/v1/repositories/99",
        f"{IMAGES}/",
    ],
)
def test_what_is_not_there_is_a_problem_too(api, path):
    assert problem(api.get(path), 404)["instance"] == path


def test_openapi_has_every_operation(api):
    document = api.get("/api/v1/openapi.json").json()
    assert {path for path in document["paths"] if re.match("/api/v1/(images|reg|repos)", path)} == {
        IMAGES,
        f"{IMAGES}/resolve",
        f"{IMAGES}/{{image_id}}",
        f"{IMAGES}/{{image_id}}/platforms",
        f"{IMAGES}/{{image_id}}/retry",
        f"{IMAGES}/{{image_id}}/block",
        f"{IMAGES}/{{image_id}}/unblock",
        f"{IMAGES}/{{image_id}}/approve",
        f"{IMAGES}/{{image_id}}/reject",
        "/api/v1/registries",
        "/api/v1/registries/{registry_id}",
        "/api/v1/repositories/{repository_id}",
    }
