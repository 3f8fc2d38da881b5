"""The REST API: what is answered, and that every refusal is a problem document naming each wrong field."""

import base64
import json
from dataclasses import replace

import pytest
from django.db import OperationalError, connection
from django.test import Client

from distfile_mirror.admin.documents import FileDocument, ProblemDocument
from distfile_mirror.catalog.models import File
from tests.unit.catalog.files import MD5, OTHER_SHA256, SHA256, URI, blocked, declare, failed, fetching, present

pytestmark = pytest.mark.django_db

FILES = "/api/v1/files"
# By the last part of the path: what is no JSON of ours.
DOCUMENTS = {
    "export.csv": "text/csv",
    "audit.csv": "text/csv",
    "sbom.cdx.json": "application/vnd.cyclonedx+json; version=1.6",
}
DECLARATION = {"uri": URI, "project": "firmware", "reason": "build dependency of the bootloader"}


@pytest.fixture
def api():
    return Client(enforce_csrf_checks=True)  # the API asks for no CSRF token: it has guards of its own


def post(api, path, body=None, **headers):
    data = "" if body is None else json.dumps(body)
    return api.post(path, data, content_type="application/json", headers=headers)


def problem(response, status):
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert set(document) == set(ProblemDocument.model_fields)
    assert document["status"] == status
    assert document["detail"]
    assert document["title"]
    assert b"Traceback" not in response.content
    return document


def fields(document):
    return {each["field"] for each in document["errors"]}


def test_a_new_declaration_is_created_with_all_that_is_known(api):
    given = {**DECLARATION, "licence": "mit", "checksums": [f"sha256:{SHA256}", f"md5:{MD5}"]}
    response = post(
        api, FILES, {**given, "fallback_uris": ["https://mirror.test/foo"]}, authorization="Bearer anything"
    )
    assert response.status_code == 201
    document = response.json()
    assert set(document) == set(FileDocument.model_fields)
    assert document["uri"] == URI
    assert document["host"] == "example.org"
    assert document["state"] == "pending"
    assert document["checksums"] == [f"sha256:{SHA256}", f"md5:{MD5}"]
    assert document["checksum_strength"] == "strong"
    assert document["fallback_uris"] == ["https://mirror.test/foo"]
    assert document["sha256"] is document["size"] is document["final_uri"] is document["fetched_at"] is None
    assert document["next_attempt_at"]
    assert document["progress"] == {"received_bytes": 0, "total_bytes": None}
    assert document["url"] == f"http://127.0.0.1:8080/files/{document['id']}"
    (use,) = document["uses"]
    assert use | {"declared_at": ""} == {
        "project": "firmware",
        "reason": "build dependency of the bootloader",
        "licence": "MIT",
        "declared_by": "tester",
        "declared_at": "",
    }


def test_what_is_known_already_is_answered_200_and_takes_the_further_use(api):
    post(api, FILES, DECLARATION)
    assert post(api, FILES, DECLARATION).status_code == 200
    response = post(api, FILES, {**DECLARATION, "project": "toolchain"})
    assert response.status_code == 200
    assert [use["project"] for use in response.json()["uses"]] == ["firmware", "toolchain"]


def test_a_present_file_shows_what_was_fetched(api):
    document = api.get(f"{FILES}/{present().pk}").json()
    assert (document["state"], document["sha256"], document["size"]) == ("present", SHA256, 19)
    assert document["digests"] == {"sha256": SHA256}
    assert document["headers"] == {"Content-Type": "application/gzip"}
    assert document["final_uri"] == URI
    assert document["fetched_at"]
    assert document["next_attempt_at"] is None
    assert document["checksum_strength"] == "none"


def test_a_contradiction_is_a_conflict_that_shows_both(api):
    present()
    document = problem(post(api, FILES, {**DECLARATION, "checksums": [OTHER_SHA256]}), 409)
    assert SHA256 in document["detail"]
    assert OTHER_SHA256 in document["detail"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"uri", "project", "reason"}),
        (
            {**DECLARATION, "uri": "x", "reason": "", "licence": "MTI", "checksums": ["x"]},
            {"uri", "reason", "licence", "checksums"},
        ),
        ({**DECLARATION, "uri": 7, "checksums": "x"}, {"uri", "checksums"}),
        ({**DECLARATION, "checksums": ["a", 7]}, {"checksums.1"}),
        ({**DECLARATION, "licencse": "MIT"}, {"licencse"}),
        ({**DECLARATION, "project": "\ud800"}, {"project"}),
        ({**DECLARATION, "reason": "a\0b"}, {"reason"}),
        ({**DECLARATION, "checksums": ["a"] * 101}, {"checksums"}),
        ([], {"body"}),
        ("text", {"body"}),
        (None, {"body"}),
    ],
)
def test_every_wrong_field_is_named(api, body, wrong):
    document = problem(post(api, FILES, body) if body is not None else post(api, FILES), 422)
    assert fields(document) == wrong
    assert all(each["message"] for each in document["errors"])
    assert not File.objects.exists()


@pytest.mark.parametrize("data", ["{", "\0", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(api, data):
    assert "JSON" in problem(api.post(FILES, data, content_type="application/json"), 400)["detail"]


def test_too_large_a_body_is_refused(api):
    body = {**DECLARATION, "reason": "a" * (5 << 20)}
    problem(post(api, FILES, body), 413)


def test_the_list_is_filtered_and_paged(api):
    for number in range(5):
        declare(f"https://example.org/{number}")
    present("https://other.test/x.tgz", project="toolchain", licence="MIT", actor="bob")
    first = api.get(FILES, {"q": "EXAMPLE", "limit": 3}).json()
    assert [file["uri"][-1] for file in first["files"]] == ["4", "3", "2"]
    second = api.get(FILES, {"q": "EXAMPLE", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [file["uri"][-1] for file in second["files"]] == ["1", "0"]
    assert second["next_cursor"] is None
    for given in (
        {"project": "toolchain"},
        {"state": "present"},
        {"uri": "https://OTHER.test/x.tgz"},
        {"host": "Other.test"},
        {"licence": "MIT"},
        {"declared_by": "bob"},
        {"order": "largest"},
    ):
        assert [file["uri"] for file in api.get(FILES, given).json()["files"]] == ["https://other.test/x.tgz"]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "9999"}, "limit"),
        ({"state": "lost"}, "state"),
        ({"order": "best"}, "order"),
        ({"q": "a\0b"}, "q"),
        ({"uri": "x"}, "uri"),
        ({"cursor": "!"}, "cursor"),
        ({"stat": "present"}, "stat"),
    ],
)
def test_a_list_that_cannot_be_names_the_parameter(api, given, wrong):
    assert fields(problem(api.get(FILES, given), 422)) == {wrong}


@pytest.mark.parametrize(
    ("order", "written"),
    [
        ("newest", '["-pk", null, Infinity]'),
        ("newest", f'["-pk", null, {"9" * 40}]'),
        ("fetched", '["-fetched_at", null, 1]'),
        ("fetched", '["-fetched_at", "2020-01-01T00:00:00", 1]'),
        ("fetched", '["-fetched_at", "0001-01-01T00:00:00+23:59", 1]'),
        ("largest", '["-size", "many", 1]'),
        ("largest", '["-size", 1, null]'),
        ("largest", '["size", 1, 1]'),
        ("newest", "[" * 100_000),
    ],
)
def test_a_cursor_that_was_made_up_is_refused_or_harmless(api, order, written):
    cursor = base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")
    response = api.get(FILES, {"order": order, "cursor": cursor})
    if response.status_code != 200:
        assert fields(problem(response, 422)) == {"cursor"}


def test_failed_files_are_retried_and_amended(api):
    file = failed(checksums=[OTHER_SHA256])
    assert post(api, f"{FILES}/{file.pk}/retry").json()["state"] == "pending"
    problem(post(api, f"{FILES}/{file.pk}/retry"), 409)
    response = api.patch(f"{FILES}/{file.pk}", {"checksums": [SHA256]}, content_type="application/json")
    assert response.json()["checksums"] == [f"sha256:{SHA256}"]
    response = api.patch(f"{FILES}/{file.pk}", {"checksums": ["x"]}, content_type="application/json")
    assert fields(problem(response, 422)) == {"checksums"}


def test_present_files_are_blocked_and_unblocked(api):
    file = present()
    assert fields(problem(post(api, f"{FILES}/{file.pk}/block", {"reason": " "}), 422)) == {"reason"}
    assert fields(problem(post(api, f"{FILES}/{file.pk}/block", {}), 422)) == {"reason"}
    document = post(api, f"{FILES}/{file.pk}/block", {"reason": "malicious"}).json()
    assert (document["state"], document["message"]) == ("blocked", "malicious")
    assert post(api, f"{FILES}/{file.pk}/unblock").json()["state"] == "present"
    problem(post(api, f"{FILES}/{file.pk}/unblock"), 409)


@pytest.mark.parametrize("make", [fetching, blocked])
def test_what_is_stored_or_on_its_way_is_not_amended(api, make):
    response = api.patch(f"{FILES}/{make().pk}", {"checksums": []}, content_type="application/json")
    problem(response, 409)


@pytest.mark.parametrize(
    "path",
    [
        f"{FILES}/99",
        f"{FILES}/99/retry",
        f"{FILES}/x",
        f"{FILES}/{'9' * 30}",
        "/api/",
        "/api/v1/",
        "/api/v2/files",
        f"{FILES}/",
    ],
)
def test_what_is_not_there_is_a_problem_too(api, path):
    response = post(api, path) if path.endswith("retry") else api.get(path)
    assert problem(response, 404)["instance"] == path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("put", FILES, "GET, POST"), ("get", f"{FILES}/1/retry", "POST"), ("delete", f"{FILES}/1", "GET, PATCH")],
)
def test_a_method_that_is_not_there_names_those_that_are(api, method, path, allowed):
    response = getattr(api, method)(path)
    problem(response, 405)
    assert sorted(response.headers["Allow"].split(", ")) == sorted(allowed.split(", "))


def test_a_fault_of_our_own_is_logged_and_not_shown(api, settings, context, capfd):
    def broken(_sha256, _algorithms):
        raise ZeroDivisionError("secret detail")

    settings.DISTFILE_MIRROR = replace(context, digests_of=broken)
    present()
    response = post(api, FILES, {**DECLARATION, "checksums": [f"md5:{MD5}"]})
    problem(response, 500)
    assert b"secret detail" not in response.content
    assert "ZeroDivisionError" in "".join(capfd.readouterr())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_database_that_does_not_answer_is_said_to_be_away(api, method):
    def broken(_execute, _sql, _parameters, _many, _context):
        raise OperationalError("server closed the connection")

    with connection.execute_wrapper(broken):
        response = api.get(FILES) if method == "get" else post(api, FILES, DECLARATION)
    assert "database" in problem(response, 503)["detail"]
    assert int(response.headers["Retry-After"]) > 0
    assert api.get(FILES).status_code == 200, "the next request has a connection again"


def test_openapi_declares_every_answer(api):
    document = api.get("/api/v1/openapi.json").json()
    assert {path for path in document["paths"] if path.startswith(FILES)} == {
        FILES,
        f"{FILES}/retry",
        f"{FILES}/block",
        f"{FILES}/{{file_id}}",
        f"{FILES}/{{file_id}}/retry",
        f"{FILES}/{{file_id}}/block",
        f"{FILES}/{{file_id}}/unblock",
        f"{FILES}/{{file_id}}/approve",
        f"{FILES}/{{file_id}}/reject",
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"422", "500", "503"} <= set(answers)
            assert ("404" in answers) == ("{" in path)
            assert ("409" in answers) == (method != "get")
            for status, answer in answers.items():
                (media_type,) = answer["content"]
                expected = DOCUMENTS.get(path.rpartition("/")[2], "application/json")
                assert media_type == (expected if int(status) < 400 else "application/problem+json")
    assert {"201", "200"} <= set(document["paths"][FILES]["post"]["responses"])
    shapes = document["components"]["schemas"]
    assert set(shapes["FileDocument"]["properties"]) == set(FileDocument.model_fields)
    assert shapes["Declaration"]["additionalProperties"] is False


def test_no_page_of_documentation_loads_scripts_from_elsewhere(api):
    problem(api.get("/api/v1/docs"), 404)
