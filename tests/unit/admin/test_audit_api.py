"""The list of changes over REST, the overview, and changes to several files at once."""

import csv
import io

import pytest
from django.test import Client
from django.utils import timezone

from tests.unit.admin.people import bearer, person, secret_of, with_sign_in
from tests.unit.admin.test_api import FILES, fields, post, problem
from tests.unit.catalog import images
from tests.unit.catalog.files import URI, declare, failed, fresh, present
from tests.unit.catalog.seen import missed

pytestmark = pytest.mark.django_db

AUDIT = "/api/v1/audit"


@pytest.fixture
def api():
    return Client(enforce_csrf_checks=True)


def test_changes_are_listed_newest_first(api):
    file = declare().file
    declare(project="toolchain", actor="bob")
    images.declare()
    events = api.get(AUDIT).json()["events"]
    assert [each["kind"] for each in events] == ["image", "image", "file", "file", "file"]
    (event,) = api.get(AUDIT, {"actor": "bob"}).json()["events"]
    assert (event["action"], event["subject"], event["subject_id"]) == ("use added", URI, file.pk)
    assert event["after"]["project"] == "toolchain"
    for given, count in (
        ({"q": "FOO-1.2"}, 3),
        ({"action": "declared"}, 2),
        ({"kind": "image"}, 2),
        ({"since": "2020-01-01"}, 5),
        ({"until": "2020-01-01"}, 0),
        ({"limit": 1}, 1),
    ):
        assert len(api.get(AUDIT, given).json()["events"]) == count, given


def test_changes_are_exported_with_the_same_conditions(api):
    declare()
    response = api.get(f"{AUDIT}.csv", {"action": "declared"})
    assert response.headers["Content-Type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode()))
    assert (row["subject"], row["actor"]) == (URI, "alice")


@pytest.mark.parametrize(
    ("path", "given", "wrong"),
    [
        (AUDIT, {"since": "now"}, "since"),
        (AUDIT, {"user": "x"}, "user"),
        (f"{AUDIT}.csv", {"until": "x"}, "until"),
        (f"{AUDIT}.csv", {"limit": "1"}, "limit"),
    ],
)
def test_a_list_that_cannot_be_names_the_parameter(api, path, given, wrong):
    assert fields(problem(api.get(path, given), 422)) == {wrong}


def test_the_overview_counts(api):
    present()
    failed("https://example.org/b")
    images.present()
    missed("https://example.org/c", at=timezone.now().timestamp())
    missed("https://example.org/d", at=100)
    document = api.get("/api/v1/overview").json()
    assert (document["stored"]["files"], document["stored"]["images"], document["stored"]["projects"]) == (1, 1, 1)
    assert document["stored"]["stored_bytes"] > 19
    assert (document["files"]["present"], document["files"]["failed"], document["files"]["pending"]) == (1, 1, 0)
    assert document["images"]["present"] == document["missed_last_day"] == 1


def test_several_are_retried_and_of_the_others_it_is_told_why(api):
    file, other = failed(), present("https://example.org/b")
    told = post(api, f"{FILES}/retry", {"files": [other.pk, file.pk, 99, file.pk]}).json()["files"]
    assert [each["id"] for each in told] == [other.pk, file.pk, 99]
    assert "only what has failed" in told[0]["problem"]
    assert told[1]["problem"] == ""
    assert told[2]["problem"] == "there is no file 99"
    assert fresh(file).state == "pending"


def test_several_are_blocked(api):
    file, other = present(), declare("https://example.org/b").file
    told = post(api, f"{FILES}/block", {"files": [file.pk, other.pk], "reason": "malicious"}).json()["files"]
    assert [bool(each["problem"]) for each in told] == [False, True]
    assert (fresh(file).state, fresh(file).message) == ("blocked", "malicious")
    assert fields(problem(post(api, f"{FILES}/block", {"files": [file.pk], "reason": " "}), 422)) == {"reason"}
    assert fields(problem(post(api, f"{FILES}/block", {"files": []}), 422)) == {"files", "reason"}
    assert fields(problem(post(api, f"{FILES}/retry", {"files": [-1]}), 422)) == {"files.0"}


def test_declarers_retry_their_own(api, settings):
    with_sign_in(settings)
    mine, other = failed(actor="dave"), failed("https://example.org/b")
    secret = secret_of(person("dave", "declarer"))
    told = post(api, f"{FILES}/retry", {"files": [mine.pk, other.pk]}, **bearer(secret)).json()["files"]
    assert [each["problem"].partition(";")[0] for each in told] == ["", "you did not declare it"]
    problem(post(api, f"{FILES}/block", {"files": [mine.pk], "reason": "x"}, **bearer(secret)), 403)
