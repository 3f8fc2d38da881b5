"""Every address, with every role and with none: exactly what the table says is answered."""

import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from distfile_mirror.admin.api import api
from distfile_mirror.admin.rights import API_PREFIX, EVERYBODY, RIGHTS
from distfile_mirror.model.roles import Role
from tests.unit.admin.people import bearer, browser, person, secret_of, with_sign_in

pytestmark = pytest.mark.django_db

REMOTE = {"REMOTE_ADDR": "192.0.2.7"}  # from this machine /metrics is open
NOBODY = None
OUTSIDE = ("GET /", "GET /openapi.json")  # addresses of the API that its document does not have
WHO = [NOBODY, *Role]


def page_names():
    return [pattern.name for pattern in get_resolver().url_patterns if isinstance(pattern, URLPattern)]


def operations():
    paths = api.get_openapi_schema()["paths"]
    return [f"{method.upper()} {path.removeprefix('/' + API_PREFIX)}" for path in paths for method in paths[path]]


def path_of(name):
    (pattern,) = (each for each in get_resolver().url_patterns if getattr(each, "name", "") == name)
    parameters = dict.fromkeys(pattern.pattern.converters, 9)
    return reverse(name, kwargs={**parameters, **pattern.default_args})


def may(role, name):
    least = RIGHTS[name]
    return least is EVERYBODY or (role is not NOBODY and role.includes(least))


@pytest.fixture
def clients(settings):
    with_sign_in(settings)
    for role in Role:
        person(role.value, role)
    return {role: browser(role, **REMOTE) if role else Client(**REMOTE) for role in WHO}


def test_every_address_is_in_the_table_and_nothing_else():
    assert {*page_names(), *operations(), *OUTSIDE} == set(RIGHTS)
    assert all(isinstance(each, URLPattern | URLResolver) for each in get_resolver().url_patterns)


def test_pages(clients):
    for name in page_names():
        for role, client in clients.items():
            if name == "sign_out":
                continue
            for method in ("get", "post"):
                response = getattr(client, method)(path_of(name))
                led_to_sign_in = response.headers.get("Location", "").startswith("/sign-in?") or (
                    response.headers.get("Location", "") == "/sign-in"
                )
                refused = response.status_code in {401, 403} or led_to_sign_in
                provider_is_away = name.startswith("openid") and response.status_code == 404
                assert refused != may(role, name) or provider_is_away, (name, method, role, response.status_code)


def test_operations(settings):
    with_sign_in(settings)
    secrets = {role: secret_of(person(role.value, role)) for role in Role}
    for name in [*operations(), *OUTSIDE]:
        method, path = name.split()
        address = f"/{API_PREFIX}{re.sub(r'{[^}]*}', '99', path)}"
        for role in WHO:
            headers = bearer(secrets[role]) if role else {}
            response = Client(enforce_csrf_checks=True, **REMOTE).generic(method, address, headers=headers)
            expected = 401 if role is NOBODY else 403
            assert (response.status_code == expected) != may(role, name), (name, role, response.content)
            if response.status_code in {401, 403}:
                assert response.headers["Content-Type"] == "application/problem+json"
                assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)


def test_what_is_not_in_the_table_is_denied(clients, monkeypatch):
    monkeypatch.delitem(RIGHTS, "files")
    monkeypatch.delitem(RIGHTS, "GET /files")
    monkeypatch.delitem(RIGHTS, "POST /files")
    assert clients[Role.ADMINISTRATOR].get("/files").status_code == 403
    assert clients[Role.ADMINISTRATOR].get("/api/v1/files").status_code == 403
    assert clients[NOBODY].get("/api/v1/files").status_code == 401


def test_a_refusal_says_which_role_is_missing_and_who_can_give_it(clients):
    page = clients[Role.VIEWER].get("/files/declare")
    assert page.status_code == 403
    text = page.content.decode()
    assert "needs the role declarer" in text
    assert "viewer is viewer" in text
    assert "administrator can change that: administrator" in text


def test_who_is_not_signed_in_is_led_there_and_back(clients):
    client = clients[NOBODY]
    assert (
        client.get("/files?q=a&state=present").headers["Location"] == "/sign-in?next=%2Ffiles%3Fq%3Da%26state%3Dpresent"
    )
    assert client.post("/files/declare", {}).headers["Location"] == "/sign-in"
    assert client.get("/nowhere").status_code == 404


def test_without_a_sign_in_everything_is_open_to_the_local_user():
    client = Client(**REMOTE)
    for path in ("/", "/users", "/account", "/requests", "/metrics", "/api/v1/users", "/api/v1/openapi.json"):
        response = client.get(path)
        assert response.status_code == 200, path
        if response.headers["Content-Type"].startswith("text/html"):
            assert "<strong>tester</strong>" in response.content.decode()
    assert client.get("/sign-in").headers["Location"] == "/"


def test_health_is_open_and_metrics_are_for_who_may_read_them(settings, clients):
    with_sign_in(settings, metrics_token="scrape")
    assert clients[NOBODY].get("/health").status_code == 200
    assert clients[NOBODY].get("/metrics").status_code == 401
    assert clients[NOBODY].get("/metrics", headers=bearer("scrape")).status_code == 200
    assert clients[NOBODY].get("/metrics", headers=bearer("scrap")).status_code == 401
    assert clients[Role.VIEWER].get("/metrics").status_code == 200
    secret = secret_of(person("scraper"))
    assert clients[NOBODY].get("/metrics", headers=bearer(secret)).status_code == 200
    local = Client(REMOTE_ADDR="127.0.0.1")
    assert local.get("/metrics").status_code == 200
    assert local.get("/metrics", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 401
    assert Client(REMOTE_ADDR="::1").get("/metrics").status_code == 200


def test_a_session_needs_the_token_of_our_pages_for_the_api(settings):
    with_sign_in(settings)
    person("alice", "declarer")
    client = browser("alice", enforce_csrf_checks=True)
    body = {"uri": "https://example.org/a", "project": "p", "reason": "r"}
    response = client.post("/api/v1/files", body, content_type="application/json")
    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/files/declare").content)[1].decode()
    headers = {"x-csrftoken": token}
    response = client.post("/api/v1/files", body, content_type="application/json", headers=headers)
    assert response.status_code == 201
    assert response.json()["uses"][0]["declared_by"] == "alice"
