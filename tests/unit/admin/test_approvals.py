"""Approval in pages and API: who may decide, and what declarers see."""

import pytest
from django.test import Client

from distfile_mirror.catalog.models import File
from tests.unit.admin.people import bearer, browser, person, secret_of, with_sign_in
from tests.unit.catalog import files, images

pytestmark = pytest.mark.django_db

FORM = {"uris": files.URI, "project": "firmware", "reason": "because"}
BODY = {"uri": files.URI, "project": "firmware", "reason": "because"}


@pytest.fixture(autouse=True)
def _approval(settings):
    with_sign_in(settings, require_approval=True)


@pytest.fixture
def declarer():
    person("dave", "declarer")
    return browser("dave")


@pytest.fixture
def approver():
    person("ann", "approver")
    return browser("ann")


def asking(name, role):
    headers = bearer(secret_of(person(name, role)))

    def ask(path, body=None, method="post"):
        options = {"content_type": "application/json", "headers": headers}
        return getattr(Client(), method)(f"/api/v1{path}", *([body] if body is not None else []), **options)

    return ask


def test_what_a_declarer_declares_waits_and_is_approved_on_the_page(declarer, approver):
    page = declarer.get(declarer.post("/files/declare", FORM).headers["Location"]).content.decode()
    assert "waits for approval" in page
    file = File.objects.get()
    assert file.state == "requested"
    page = declarer.get("/requests").content.decode()
    assert "foo-1.2.tar.gz" in page
    assert 'type="checkbox"' not in page
    assert declarer.post("/requests/decide", {"file": file.pk, "action": "approve"}).status_code == 403
    page = approver.get("/requests").content.decode()
    assert f'name="file" value="{file.pk}"' in page
    assert "firmware: because" in page
    assert approver.post("/requests/decide", {"file": file.pk, "action": "approve"}).status_code == 302
    file.refresh_from_db()
    assert file.state == "pending"
    assert "Nothing waits" in approver.get("/requests").content.decode()


def test_a_rejection_needs_a_reason_and_the_declarer_sees_it(declarer, approver):
    declarer.post("/files/declare", FORM)
    file = File.objects.get()
    page = approver.post("/requests/decide", {"file": file.pk, "action": "reject", "reason": " "})
    assert page.status_code == 422
    assert "checked" in page.content.decode(), "what was ticked stays so"
    approver.post("/requests/decide", {"file": file.pk, "action": "reject", "reason": "not its licence"})
    assert "rejected: not its licence" in declarer.get(f"/files/{file.pk}").content.decode()
    again = declarer.post("/files/declare", {**FORM, "project": "other"})
    assert again.status_code == 409
    assert "rejected: not its licence" in again.content.decode()
    approver.post("/files/declare", {**FORM, "project": "other"})
    file.refresh_from_db()
    assert file.state == "pending"


def test_images_are_rejected_so_too(declarer, approver):
    image = images.declare(approved=False).image
    page = approver.get("/requests").content.decode()
    assert f'name="image" value="{image.pk}"' in page
    approver.post("/requests/decide", {"image": image.pk, "action": "reject", "reason": "no"})
    form = {"reference": str(image), "project": "other", "reason": "because"}
    again = declarer.post("/images/declare", form)
    assert again.status_code == 409
    assert "rejected: no" in again.content.decode()


@pytest.mark.parametrize("form", [{}, {"action": "approve"}, {"file": "x", "action": "approve"}, {"file": "9" * 30}])
def test_nothing_ticked_is_nothing_decided(approver, form):
    assert approver.post("/requests/decide", form).status_code == 422


def test_what_somebody_else_decided_on_is_told(approver):
    file = files.declare(approved=False).file
    form = {"file": file.pk, "action": "approve"}
    approver.post("/requests/decide", form)
    page = approver.post("/requests/decide", form)
    assert page.status_code == 409
    assert "is pending; only what is requested" in page.content.decode()


def test_the_api_decides_on_one_and_on_many():
    dave, ann = asking("dave", "declarer"), asking("ann", "approver")
    declared = dave("/files", BODY)
    assert (declared.status_code, declared.json()["state"]) == (201, "requested")
    number = declared.json()["id"]
    assert dave(f"/files/{number}/approve").status_code == 403
    assert ann(f"/files/{number}/reject", {"reason": ""}).status_code == 422
    rejected = ann(f"/files/{number}/reject", {"reason": "no"}).json()
    assert (rejected["state"], rejected["message"]) == ("rejected", "no")
    assert dave("/files", BODY).status_code == 409
    assert ann("/files", BODY).json()["state"] == "pending"
    assert ann(f"/files/{number}/approve").status_code == 409
    image = images.declare(approved=False).image
    assert ann(f"/images/{image.pk}/approve").json()["state"] == "pending"
    image = images.declare(images.ARM64, approved=False).image
    assert ann(f"/images/{image.pk}/reject", {"reason": "no"}).json()["message"] == "no"
    file = files.declare("https://example.org/b", approved=False).file
    decided = ann("/approvals", {"action": "approve", "files": [file.pk, 99]}).json()["decided"]
    assert [(each["id"], bool(each["problem"])) for each in decided] == [(file.pk, False), (99, True)]
    assert ann("/approvals", {"action": "reject", "files": [1]}).status_code == 422
    assert ann("/approvals", {"action": "maybe"}).status_code == 422
    (huge,) = ann("/approvals", {"action": "approve", "images": [10**30]}).json()["decided"]
    assert "there is no image" in huge["problem"]


@pytest.mark.parametrize("path", ["/retry", ""])
def test_declarers_try_again_and_amend_only_what_is_theirs(settings, path):
    with_sign_in(settings)
    dave, other = asking("dave", "declarer"), asking("eve", "declarer")
    file = files.failed(actor="dave (token ci)")
    how = {"method": "patch", "body": {"checksums": []}} if not path else {}
    refused = other(f"/files/{file.pk}{path}", **how)
    assert refused.status_code == 403
    assert "you did not declare it" in refused.json()["detail"]
    assert dave(f"/files/{file.pk}{path}", **how).json()["state"] == "pending"


def test_what_viewers_may_not_do_is_not_offered(settings, approver):
    person("vic", "viewer")
    file = files.present()
    viewer = browser("vic").get(f"/files/{file.pk}").content.decode()
    assert "Add a use" not in viewer
    assert "Block this file" not in viewer
    assert "Block this file" in approver.get(f"/files/{file.pk}").content.decode()
