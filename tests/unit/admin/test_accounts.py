"""Signing in with name and password: what it takes, what it never tells, and what ends it."""

import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from distfile_mirror.admin import throttle
from distfile_mirror.admin.models import PasswordAttempt, User
from distfile_mirror.admin.people import set_active, set_password, set_role
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.errors import ConflictError
from tests.unit.admin.people import PASSWORD, bearer, browser, person, secret_of, with_sign_in

pytestmark = pytest.mark.django_db

NEW = "another long and quiet river"


@pytest.fixture(autouse=True)
def _accounts(settings):
    with_sign_in(settings)


def sign_in(client, name, password=PASSWORD, **given):
    return client.post("/sign-in", {"name": name, "password": password, **given})


def test_name_and_password_lead_to_where_somebody_wanted(client):
    person("alice")
    response = sign_in(client, " Alice ", next="/files?q=x")
    assert response.headers["Location"] == "/files?q=x"
    assert User.objects.get().password.startswith("argon2$argon2id$")
    page = client.get("/files").content.decode()
    assert "alice</a>" in page
    assert "No sign-in is configured" not in page
    assert client.get("/sign-in?next=/files").headers["Location"] == "/files"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "files",
        "///evil.test",
        " //x",
    ],
)
def test_nobody_is_led_elsewhere(client, elsewhere):
    person("alice")
    assert f'value="{elsewhere}"' not in client.get("/sign-in", {"next": elsewhere}).content.decode()
    assert sign_in(client, "alice", next=elsewhere).headers["Location"] == "/"


def test_the_session_is_another_after_signing_in(client):
    person("alice")
    session = client.session
    session["mark"] = "planted by somebody else"
    session.save()
    before = session.session_key
    sign_in(client, "alice")
    assert client.cookies["sessionid"].value != before
    assert Client(headers={"cookie": f"sessionid={before}"}).get("/account").status_code == 302


def test_the_cookie_is_for_this_site_alone(client, settings):
    person("alice")
    settings.SESSION_COOKIE_SECURE = True
    sign_in(client, "alice")
    cookie = client.cookies["sessionid"]
    assert (cookie["samesite"], bool(cookie["httponly"]), bool(cookie["secure"])) == ("Lax", True, True)
    assert cookie["max-age"] == 12 * 3600


def test_what_is_wrong_is_not_told(client):
    person("alice")
    set_active(person("bob").pk, is_active=False, actor="root")
    wrong = {
        sign_in(client, *each).content.split(b"<form")[0]
        for each in [("alice", "x"), ("nobody", "x"), ("bob",), ("al\0ice", "x")]
    }
    assert sign_in(client, "alice", "x").status_code == 422
    pages = {sign_in(client, name, "x").content.decode().count("name or password is wrong") for name in ("alice", "n")}
    assert pages <= {0, 1}
    assert len(wrong) == 1
    assert "sessionid" not in client.cookies


def test_unknown_names_take_as_long_as_known_ones(client):
    person("alice")

    def seconds(name):
        begun = time.process_time()  # whatever else this machine does
        sign_in(client, name, "wrong")
        return time.process_time() - begun

    seconds("alice")
    known, unknown = (min(seconds(f"{name}") for _ in range(4)) for name in ("alice", "nobody"))
    assert 0.4 < known / unknown < 2.5


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_guessing_at_an_account_is_slowed_down(client, name):
    person("alice")
    for _ in range(throttle.ATTEMPTS_FOR_ACCOUNT):
        assert sign_in(client, name, "wrong").status_code == 422
    response = sign_in(client, name)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= throttle.WINDOW.total_seconds()
    assert "too many wrong passwords" in response.content.decode()
    person("bob")
    assert sign_in(client, "bob").status_code == 302, "others still sign in"
    PasswordAttempt.objects.update(at=timezone.now() - throttle.WINDOW - timedelta(seconds=1))
    assert sign_in(client, name).status_code == (302 if name == "alice" else 422)


def test_guessing_from_an_address_is_slowed_down(client):
    person("alice")
    for number in range(throttle.ATTEMPTS_FROM_ADDRESS):
        PasswordAttempt.objects.create(account=f"x{number}", address="127.0.0.1")
    assert sign_in(client, "alice").status_code == 429
    assert sign_in(Client(REMOTE_ADDR="192.0.2.1"), "alice").status_code == 302


def test_right_passwords_do_not_add_up(client):
    person("alice")
    for _ in range(throttle.ATTEMPTS_FOR_ACCOUNT + 2):
        assert sign_in(client, "alice").status_code == 302
    assert not PasswordAttempt.objects.exists()


def test_signing_out_ends_the_session():
    person("alice")
    client = browser("alice")
    key = client.cookies["sessionid"].value
    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out").headers["Location"] == "/sign-in"
    assert Client(headers={"cookie": f"sessionid={key}"}).get("/account").status_code == 302


def test_forms_of_sign_in_need_their_token():
    person("alice")
    strict = Client(enforce_csrf_checks=True)
    assert sign_in(strict, "alice").status_code == 403
    assert strict.post("/sign-out").status_code == 403


def test_the_password_is_changed_by_who_knows_it():
    person("alice")
    here, there = browser("alice"), browser("alice")
    response = here.post("/account/password", {"old": "wrong", "password": NEW})
    assert response.status_code == 422
    assert "not your password" in response.content.decode()
    response = here.post("/account/password", {"old": PASSWORD, "password": "short"})
    assert "at least 12 characters" in response.content.decode()
    assert here.post("/account/password", {"old": PASSWORD, "password": NEW}).status_code == 302
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 302, "other sessions end"
    assert sign_in(Client(), "alice", NEW).status_code == 302


def test_who_is_disabled_or_gets_another_password_is_out_at_once():
    alice, bob = person("alice"), person("bob")
    clients = {"alice": browser("alice"), "bob": browser("bob")}
    secrets = {"alice": secret_of(alice), "bob": secret_of(bob)}
    set_active(alice.pk, is_active=False, actor="root")
    set_password(bob.pk, NEW, actor="root")
    assert [client.get("/files").status_code for client in clients.values()] == [302, 302]
    statuses = [Client().get("/api/v1/files", headers=bearer(secret)).status_code for secret in secrets.values()]
    assert statuses == [401, 200]


def test_a_role_holds_from_the_next_request_on():
    alice = person("alice", "declarer")
    client = browser("alice")
    assert client.get("/files/declare").status_code == 200
    set_role(alice.pk, "viewer", actor="root")
    assert client.get("/files/declare").status_code == 403


def test_administrators_manage_users_on_a_page():
    person("root", "administrator")
    client = browser("root")
    given = {"name": "Bob", "role": "declarer", "password": PASSWORD}
    assert client.post("/users", given).status_code == 302
    bob = User.objects.get(name="bob")
    assert "bob" in client.get("/users").content.decode()
    page = client.post("/users", {**given, "password": "short", "role": "boss"})
    assert page.status_code == 422
    for part in ("there is a user bob already", "is no role", "too short"):
        assert part in page.content.decode()
    for change in (
        {"change": "role", "role": "approver"},
        {"change": "password", "password": NEW},
        {"change": "disable"},
    ):
        assert client.post(f"/users/{bob.pk}", change).status_code == 302
    bob.refresh_from_db()
    assert (bob.role, bob.is_active, bob.check_password(NEW)) == ("approver", False, True)
    assert client.post(f"/users/{bob.pk}", {"change": "enable"}).status_code == 302
    assert client.post(f"/users/{bob.pk}", {"change": "promote"}).status_code == 422
    assert client.post("/users/99", {"change": "disable"}).status_code == 404
    actions = AuditEvent.objects.filter(subject_kind="user", subject="bob", actor="root")
    assert list(actions.order_by("pk").values_list("action", flat=True)) == [
        "added",
        "role given",
        "password set",
        "disabled",
        "enabled",
    ]
    assert not any(PASSWORD in str(event.after) + str(event.before) for event in AuditEvent.objects.all())


def test_the_last_administrator_stays():
    root = person("root", "administrator")
    with pytest.raises(ConflictError, match="last administrator"):
        set_role(root.pk, "viewer", actor="root")
    with pytest.raises(ConflictError, match="last administrator"):
        set_active(root.pk, is_active=False, actor="root")
    person("other", "administrator")
    assert set_role(root.pk, "viewer", actor="root").role == "viewer"


def test_users_by_the_api():
    headers = bearer(secret_of(person("root", "administrator")))

    def ask(method, path, body=None):
        options = {"content_type": "application/json", "headers": headers}
        return getattr(Client(), method)(f"/api/v1{path}", *([body] if body is not None else []), **options)

    made = ask("post", "/users", {"name": "bob", "role": "viewer", "password": PASSWORD})
    assert made.status_code == 201
    number = made.json()["id"]
    assert "password" not in made.json()
    assert [user["name"] for user in ask("get", "/users").json()["users"]] == ["bob", "root"]
    assert ask("patch", f"/users/{number}", {"role": "approver"}).json()["role"] == "approver"
    assert ask("patch", f"/users/{number}", {"is_active": False}).json()["is_active"] is False
    assert ask("post", f"/users/{number}/password", {"password": "x"}).status_code == 422
    assert ask("post", f"/users/{number}/password", {"password": NEW}).status_code == 200
    assert ask("get", f"/users/{number}").json()["source"] == "accounts"
    assert ask("post", "/users", {"name": "a (token b)", "role": "boss", "password": ""}).status_code == 422
    assert ask("post", "/users", {"name": "a (token b)", "role": "viewer", "password": ""}).status_code == 422
    assert ask("get", "/users/99").status_code == 404


def test_sessions_that_have_ended_are_forgotten(client):
    from django.contrib.sessions.models import Session

    person("alice")
    browser("alice")
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    sign_in(client, "alice")
    assert Session.objects.count() == 1
