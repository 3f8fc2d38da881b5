"""Projects, what each uses, reports and exports, over REST."""

import csv
import io
import json
from datetime import timedelta

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from django.test import Client
from django.utils import timezone

from distfile_mirror.admin.project_documents import ProjectDetails
from distfile_mirror.catalog.models import File, Image, Project
from tests.unit.admin.test_api import fields, problem
from tests.unit.catalog import files, images
from tests.unit.catalog.seen import served

pytestmark = pytest.mark.django_db

PROJECTS = "/api/v1/projects"
REPORTS = "/api/v1/reports"


@pytest.fixture
def api():
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def project():
    served(files.present(licence="MIT"), at=200)
    files.declare(reason="also to test it")
    files.declare("https://example.org/later")
    images.present(licence="MIT")
    return Project.objects.get(name="firmware")


def test_projects_are_listed_by_name_with_what_they_use(api, project):
    files.declare("https://example.org/c", project="compiler")
    listed = api.get(PROJECTS).json()
    assert [each["name"] for each in listed["projects"]] == ["compiler", "firmware"]
    facts = listed["projects"][1]
    assert (facts["files"], facts["images"], facts["unknown_licences"]) == (2, 1, 2)
    assert facts["stored_bytes"] == len(files.CONTENT) + Image.objects.get().size
    assert facts["url"] == f"http://127.0.0.1:8080/projects/{project.pk}"
    first = api.get(PROJECTS, {"limit": 1}).json()
    second = api.get(PROJECTS, {"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [each["name"] for each in second["projects"]] == ["firmware"]
    assert second["next_cursor"] is None
    assert [each["name"] for each in api.get(PROJECTS, {"q": "COMP"}).json()["projects"]] == ["compiler"]


def test_a_project_is_shown_with_its_licences(api, project):
    document = api.get(f"{PROJECTS}/{project.pk}").json()
    assert set(document) == set(ProjectDetails.model_fields)
    assert document["licences"] == [{"licence": "", "uses": 2}, {"licence": "MIT", "uses": 2}]


def test_uses_say_of_what_and_when_it_was_served(api, project):
    path = f"{PROJECTS}/{project.pk}/uses"
    first = api.get(path, {"limit": 3}).json()
    second = api.get(path, {"limit": 3, "cursor": first["next_cursor"]}).json()
    image, later, again, file = [*first["uses"], *second["uses"]]
    assert [each["artifact"]["kind"] for each in (image, later, again, file)] == ["image", "file", "file", "file"]
    assert file["artifact"] == {
        "kind": "file",
        "id": file["artifact"]["id"],
        "name": files.URI,
        "state": "present",
        "size": len(files.CONTENT),
        "url": f"http://127.0.0.1:8080/files/{file['artifact']['id']}",
    }
    assert (file["licence"], file["reason"], file["declared_by"]) == (
        "MIT",
        again["reason"] and file["reason"],
        "alice",
    )
    assert file["last_served_at"] == again["last_served_at"] == "1970-01-01T00:03:20Z"
    assert later["last_served_at"] is image["last_served_at"] is later["artifact"]["size"] is None


def test_exports_are_what_they_say(api, project):
    response = api.get(f"{PROJECTS}/{project.pk}/export.csv")
    assert response.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 4
    response = api.get(f"{PROJECTS}/{project.pk}/sbom.cdx.json")
    assert response.headers["Content-Type"].startswith("application/vnd.cyclonedx+json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(response.content.decode()) is None
    assert len(json.loads(response.content)["components"]) == 3


@pytest.mark.parametrize("path", ["", "/uses", "/export.csv", "/sbom.cdx.json"])
def test_a_project_that_is_not_there(api, path):
    problem(api.get(f"{PROJECTS}/99{path}"), 404)


def test_uses_of_unknown_licence(api, project):
    uses = api.get(f"{REPORTS}/unknown-licences").json()["uses"]
    assert [(each["artifact"]["name"], each["project"]) for each in uses] == [
        ("https://example.org/later", "firmware"),
        (files.URI, "firmware"),
    ]
    assert api.get(f"{REPORTS}/unknown-licences", {"limit": 1}).json()["next_cursor"]


def test_what_nobody_asked_for(api, project):
    long_ago = timezone.now() - timedelta(days=20)
    File.objects.update(created_at=long_ago)
    Image.objects.update(created_at=long_ago)

    def report(**given):
        return [each["name"] for each in api.get(f"{REPORTS}/unused", given).json()["artifacts"]]

    assert report() == []
    assert report(days=19) == [files.URI]
    assert report(days=19, project="x") == []
    assert report(days=19, kind="image") == [str(Image.objects.get())]


def test_what_was_served_to_who_declared_no_use_of_it(api, project):
    file, image = File.objects.get(uri=files.URI), Image.objects.get()
    served(file, label="toolchain", at=300, count=2)
    served(image, label="other", at=200)
    hits = api.get(f"{REPORTS}/undeclared").json()["hits"]
    assert [(each["label"], each["artifact"]["name"], each["count"]) for each in hits] == [
        ("toolchain", files.URI, 2),
        ("other", str(image), 1),
    ]
    assert len(api.get(f"{REPORTS}/undeclared", {"label": "other"}).json()["hits"]) == 1


@pytest.mark.parametrize(
    ("path", "given", "wrong"),
    [
        (PROJECTS, {"name": "x"}, "name"),
        (f"{REPORTS}/unused", {"days": "0"}, "days"),
        (f"{REPORTS}/unused", {"days": "9" * 9}, "days"),
        (f"{REPORTS}/unused", {"kind": "miss"}, "kind"),
        (f"{REPORTS}/undeclared", {"cursor": "!"}, "cursor"),
        (f"{REPORTS}/unknown-licences", {"project": "x"}, "project"),
    ],
)
def test_a_list_that_cannot_be_names_the_parameter(api, path, given, wrong):
    assert fields(problem(api.get(path, given), 422)) == {wrong}
