"""What leaves in one piece: valid, complete, and harmless whatever people typed."""

import csv
import io
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from distfile_mirror.admin.exports import audit_csv, project_csv, project_sbom
from distfile_mirror.admin.tables import csv_lines
from distfile_mirror.catalog.audit_log import EventFilters
from distfile_mirror.catalog.models import Project
from tests.unit.catalog import files, images

pytestmark = pytest.mark.django_db
URI = "https://example.org/pool/foo%20bar-1.2.tar.gz?x=1&y=<b>"


@pytest.fixture
def project():
    files.present(URI, licence="MIT OR Apache-2.0", reason='="quoted", and, commas')
    files.declare(URI, licence="GPL-2.0-only", reason="a further one")
    files.declare("https://example.org/", reason="nothing stored yet")
    images.present(tag="12", licence="MIT")
    return Project.objects.get(name="firmware")


def read(response):
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_csv_of_a_project(project):
    rows = read(project_csv(project))
    assert [row["kind"] for row in rows] == ["file", "file", "file", "image"]
    assert rows[0]["name"] == URI
    assert rows[0]["digest"] == f"sha256:{files.SHA256}"
    assert rows[0]["reason"] == '\'="quoted", and, commas'
    assert rows[2]["size"] == rows[2]["last_served_at"] == ""


def test_cyclonedx_of_a_project(project):
    text = project_sbom(project).content.decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    by_ref = {each["bom-ref"]: each for each in bom["components"]}
    assert len(by_ref) == 3
    (file,) = (each for each in by_ref.values() if each["name"] == "foo bar-1.2.tar.gz")
    assert {"alg": "SHA-256", "content": files.SHA256} in file["hashes"]
    assert file["licenses"] == [{"expression": "(MIT OR Apache-2.0) AND (GPL-2.0-only)"}]
    assert PackageURL.from_string(file["purl"]).qualifiers["download_url"] == URI
    (image,) = (each for each in by_ref.values() if each["type"] == "container")
    purl = PackageURL.from_string(image["purl"])
    assert (purl.type, purl.name, purl.version) == ("oci", "tool", images.digest_of(images.AMD64))
    assert purl.qualifiers["repository_url"] == "registry.test/team/tool"
    assert set(bom["dependencies"][-1]["dependsOn"] if bom["dependencies"][-1]["ref"] == "project" else []) | set(
        by_ref
    )


def test_an_empty_project_is_a_valid_document():
    project = Project.objects.create(name="empty")
    text = project_sbom(project).content.decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_csv_of_the_audit_log(project):
    rows = read(audit_csv(EventFilters(kind="file", action="declared")))
    assert [row["subject"] for row in rows] == ["https://example.org/", URI]


def test_formulas_are_inert():
    cells = ["=1+1", "+1", "-1", "@x", "\tx", -5, "plain", None]
    line = list(csv_lines(["x"] * 8, [cells]))[1]
    assert next(csv.reader([line])) == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "-5", "plain", ""]
