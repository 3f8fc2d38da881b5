"""API tokens: what they may do, for how long, and what is kept of them."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from distfile_mirror.admin.models import ApiToken, User
from distfile_mirror.catalog.models import AuditEvent
from tests.unit.admin.people import bearer, browser, person, secret_of, with_sign_in

pytestmark = pytest.mark.django_db

BODY = {"uri": "https://example.org/a", "project": "p", "reason": "r"}


@pytest.fixture(autouse=True)
def _accounts(settings):
    with_sign_in(settings)


def ask(secret, method, path, body=None):
    options = {"content_type": "application/json", "headers": bearer(secret)}
    return getattr(Client(enforce_csrf_checks=True), method)(f"/api/v1{path}", *([body] if body else []), **options)


def test_a_token_is_shown_once_and_kept_as_a_hash():
    person("alice", "declarer")
    client = browser("alice")
    page = client.post("/account/tokens", {"name": "ci", "role": "declarer", "days": "30"}).content.decode()
    secret = re.search(r"dfm_[\w-]{43}", page)[0]
    again = client.get("/account").content.decode()
    assert "ci" in again
    assert secret not in again
    token = ApiToken.objects.get()
    assert secret.encode() not in bytes(token.secret_hash)
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert ask(secret, "get", "/files").status_code == 200


def test_what_a_token_does_is_its_owners_doing():
    secret = secret_of(person("alice", "declarer"))
    response = ask(secret, "post", "/files", BODY)
    assert response.status_code == 201
    token = ApiToken.objects.get()
    name = f"alice (token {token.name})"
    assert response.json()["uses"][0]["declared_by"] == name
    assert set(AuditEvent.objects.filter(subject_kind="file").values_list("actor", flat=True)) == {name}
    assert "sessionid" not in response.cookies


def test_a_token_has_no_more_than_its_owner_then_and_now():
    alice = person("alice", "declarer")
    secret, small = secret_of(alice), secret_of(alice, "viewer")
    assert ask(small, "post", "/files", BODY).status_code == 403
    refused = ask(secret, "post", "/tokens", {"name": "x", "role": "approver"})
    assert refused.status_code == 422
    assert "your own role is declarer" in refused.json()["errors"][0]["message"]
    User.objects.update(role="viewer")
    refused = ask(secret, "post", "/files", BODY)
    assert refused.status_code == 403
    assert "needs the role declarer" in refused.json()["detail"]


def test_a_token_ends():
    secret = secret_of(person("alice"), days=1)
    assert ask(secret, "get", "/files").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = ask(secret, "get", "/files")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_made_with_a_token_ends_no_later():
    alice = person("alice")
    made = ask(secret_of(alice, days=1), "post", "/tokens", {"name": "longer", "role": "viewer"})
    assert made.status_code == 201
    assert made.json()["expires_at"] == ask(made.json()["secret"], "get", "/tokens").json()["tokens"][0]["expires_at"]
    assert ApiToken.objects.get(name="longer").expires_at is not None


@pytest.mark.parametrize("secret", ["dfm_nonsense", "dfm_", "", "x", "dfm_\u00e9"])
def test_what_is_no_token_is_refused_even_with_a_session(secret):
    person("alice")
    client = browser("alice")
    headers = {"authorization": f"Bearer {secret}".encode("latin-1").decode("latin-1")}
    if secret:
        assert client.get("/api/v1/files", headers=headers).status_code == 401
    else:
        assert client.get("/api/v1/files", headers=headers).status_code == 200


def test_pages_take_no_tokens():
    secret = secret_of(person("alice"))
    assert Client().get("/files", headers=bearer(secret)).status_code == 302


def test_uses_are_noted_once_a_minute(django_assert_max_num_queries):
    secret = secret_of(person("alice"))
    ask(secret, "get", "/tokens")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    ask(secret, "get", "/tokens")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    ask(secret, "get", "/tokens")
    assert ApiToken.objects.get().last_used_at >= first


def test_own_tokens_are_listed_and_revoked_and_administrators_have_all():
    alice, bob, root = person("alice"), person("bob"), person("root", "administrator")
    secrets = {user: secret_of(user) for user in (alice, bob, root)}
    bobs = ApiToken.objects.get(owner=bob).pk
    assert [each["owner"] for each in ask(secrets[alice], "get", "/tokens").json()["tokens"]] == ["alice"]
    listed = ask(secrets[root], "get", "/tokens").json()["tokens"]
    assert [each["owner"] for each in listed] == ["alice", "bob", "root"]
    assert not any("secret" in each for each in listed)
    assert ask(secrets[alice], "delete", f"/tokens/{bobs}").status_code == 404
    assert browser("alice").post(f"/account/tokens/{bobs}/revoke").status_code == 422
    assert ask(secrets[root], "delete", f"/tokens/{bobs}").status_code == 200
    assert ask(secrets[bob], "get", "/files").status_code == 401
    assert AuditEvent.objects.get(action="token revoked").subject.startswith("bob: ci")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"role": "boss"}, "role"),
        ({"days": 0}, "days"),
        ({"days": 99_999}, "days"),
    ],
)
def test_a_token_that_cannot_be_names_the_field(given, wrong):
    response = ask(secret_of(person("alice")), "post", "/tokens", {"name": "x", "role": "viewer", **given})
    assert response.status_code == 422
    assert {each["field"] for each in response.json()["errors"]} == {wrong}
    page = browser("alice").post("/account/tokens", {"name": "x", "role": "viewer", "days": "1", **given})
    assert page.status_code == 422


def test_without_a_sign_in_there_are_none(settings):
    with_sign_in(settings)
    from dataclasses import replace

    from distfile_mirror.admin.sign_in import SignIn

    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, sign_in=SignIn())
    assert Client().get("/api/v1/tokens").json() == {"tokens": []}
    response = Client().post("/api/v1/tokens", {"name": "x", "role": "viewer"}, content_type="application/json")
    assert response.status_code == 409
    assert Client().get("/api/v1/files", headers=bearer("dfm_x")).status_code == 200
