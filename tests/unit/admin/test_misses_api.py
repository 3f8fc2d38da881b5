"""What builds asked for in vain, over REST: listed, declared all at once, dismissed."""

from dataclasses import replace
from typing import get_args

import pytest
from django.test import Client

from distfile_mirror.admin.miss_documents import MissDocument, ReasonFilter
from distfile_mirror.catalog.models import AuditEvent, File, Image, Miss
from distfile_mirror.model.misses import MissReason
from tests.unit.admin.people import bearer, person, secret_of, with_sign_in
from tests.unit.admin.registries import resolve_tag
from tests.unit.admin.test_api import fields, post, problem
from tests.unit.catalog.images import INDEX, digest_of
from tests.unit.catalog.seen import IMAGE, missed

pytestmark = pytest.mark.django_db

MISSES = "/api/v1/misses"
URI = "https://example.org/a.tar.gz"
OTHER = "https://other.test/b.tar.gz"
TAG = "registry.test/team/tool:1.2"
USE = {"project": "firmware", "reason": "asked for by the build"}


@pytest.fixture(autouse=True)
def registries(settings, context):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, resolve_tag=resolve_tag)


@pytest.fixture
def api():
    return Client(enforce_csrf_checks=True)


def names(response):
    assert response.status_code == 200, response.content
    return [each["name"] for each in response.json()["misses"]]


def test_a_miss_is_told_with_who_asked_for_it(api):
    missed(URI, at=100, count=2)
    missed(URI, label="", client="192.0.2.2", at=300)
    (document,) = api.get(MISSES).json()["misses"]
    assert set(document) == set(MissDocument.model_fields)
    assert (document["kind"], document["name"], document["count"]) == ("file", URI, 3)
    assert (document["first_at"], document["last_at"]) == ("1970-01-01T00:01:40Z", "1970-01-01T00:05:00Z")
    assert [(each["label"], each["client"], each["count"]) for each in document["sources"]] == [
        ("", "192.0.2.2", 1),
        ("firmware", "192.0.2.1", 2),
    ]


def test_the_list_is_filtered_sorted_and_paged(api):
    missed(URI, at=100, count=9)
    missed(OTHER, at=200, label="toolchain", client="192.0.2.2", reason=MissReason.FAILED)
    missed(TAG, at=300, kind=IMAGE, reason=MissReason.BY_TAG, label="")
    assert names(api.get(MISSES)) == [TAG, OTHER, URI]
    assert names(api.get(MISSES, {"order": "most", "limit": 1})) == [URI]
    first = api.get(MISSES, {"limit": 2}).json()
    assert names(api.get(MISSES, {"limit": 2, "cursor": first["next_cursor"]})) == [URI]
    for given, found in (
        ({"q": "OTHER"}, [OTHER]),
        ({"kind": "image"}, [TAG]),
        ({"reason": "failed"}, [OTHER]),
        ({"label": "toolchain"}, [OTHER]),
        ({"client": "192.0.2.2"}, [OTHER]),
        ({"since": "1970-01-01T00:03:20Z"}, [TAG, OTHER]),
        ({"until": "1970-01-01T00:01:40+00:00"}, [URI]),
        ({"since": "1970-01-02"}, []),
        ({"dismissed": "true"}, []),
    ):
        assert names(api.get(MISSES, given)) == found, given


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "0001-01-01T00:00+14:00"}, "until"),
        ({"reason": "lost"}, "reason"),
        ({"order": "best"}, "order"),
        ({"kind": "user"}, "kind"),
        ({"lable": "x"}, "lable"),
        ({"label": "a\0"}, "label"),
    ],
)
def test_a_list_that_cannot_be_names_the_parameter(api, given, wrong):
    assert fields(problem(api.get(MISSES, given), 422)) == {wrong}


def test_every_reason_can_be_asked_for():
    assert {"", *MissReason} == set(get_args(ReasonFilter))


def test_many_are_declared_for_one_use(api):
    file, image = missed(URI), missed(TAG, kind=IMAGE, reason=MissReason.BY_TAG)
    git = missed(OTHER, reason=MissReason.GIT)
    body = {"misses": [image.pk, file.pk, git.pk, 99, file.pk], **USE, "licence": "mit"}
    outcomes = post(api, f"{MISSES}/declare", body).json()["misses"]
    assert [each["id"] for each in outcomes] == [image.pk, file.pk, git.pk, 99]
    declared = Image.objects.get()
    assert (declared.digest, declared.tag) == (digest_of(INDEX), "1.2")
    assert outcomes[0] == {
        "id": image.pk,
        "kind": "image",
        "name": TAG,
        "artifact_id": declared.pk,
        "url": f"http://127.0.0.1:8080/images/{declared.pk}",
        "problem": "",
    }
    assert outcomes[1]["url"] == f"http://127.0.0.1:8080/files/{File.objects.get().pk}"
    assert File.objects.get().uses.get().licence == "MIT"
    assert "git's conversation" in outcomes[2]["problem"]
    assert outcomes[2]["artifact_id"] is outcomes[2]["url"] is None
    assert outcomes[3]["problem"] == "there is no miss 99"
    assert names(api.get(MISSES, {"reason": "pending"})) == [TAG, URI]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"misses", "project", "reason"}),
        ({"misses": [1], "project": " ", "reason": "", "licence": "("}, {"project", "reason", "licence"}),
        ({"misses": [], **USE}, {"misses"}),
        ({"misses": [0, 1 << 63], **USE}, {"misses.0", "misses.1"}),
        ({"misses": list(range(1, 502)), **USE}, {"misses"}),
    ],
)
def test_every_wrong_field_is_named(api, body, wrong):
    assert fields(problem(post(api, f"{MISSES}/declare", body), 422)) == wrong


def test_misses_are_dismissed_and_put_back(api):
    miss = missed(URI)
    body = {"misses": [miss.pk, 99]}
    assert post(api, f"{MISSES}/dismiss", body).json() == {"changed": 1}
    assert post(api, f"{MISSES}/dismiss", body).json() == {"changed": 0}
    assert names(api.get(MISSES)) == []
    assert names(api.get(MISSES, {"dismissed": "true"})) == [URI]
    assert post(api, f"{MISSES}/restore", body).json() == {"changed": 1}
    assert names(api.get(MISSES)) == [URI]
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["dismissed", "restored"]
    assert fields(problem(post(api, f"{MISSES}/restore", {}), 422)) == {"misses"}


def test_what_a_declarer_declares_waits_for_approval(api, settings):
    with_sign_in(settings, require_approval=True)
    secret = secret_of(person("dave", "declarer"))
    response = post(api, f"{MISSES}/declare", {"misses": [missed(URI).pk], **USE}, **bearer(secret))
    assert response.status_code == 200, response.content
    assert File.objects.get().state == "requested"
    assert problem(post(api, f"{MISSES}/dismiss", {"misses": [1]}, **bearer(secret)), 403)
    assert not Miss.objects.get().is_dismissed
