"""A web page elsewhere must not change anything here through the browser of somebody who works here."""

import pytest
from django.test import Client

from distfile_mirror.catalog.models import File
from tests.unit.catalog.files import URI

pytestmark = pytest.mark.django_db

FILES = "/api/v1/files"
DECLARATION = {"uri": URI, "project": "firmware", "reason": "because"}
PAGES = ["/", "/files/declare", "/files/99", "/nowhere", "/health", "/metrics", "/api/v1/files", "/api/v1/openapi.json"]


def send(client, headers, content_type="application/json"):
    return client.post(
        FILES, DECLARATION if content_type == "application/json" else "x=1", content_type=content_type, headers=headers
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://testserver:81"},
        {"origin": "https://testserver"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_another_site_may_not_change_anything(client, headers, content_type):
    response = send(client, headers, content_type)
    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not File.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://testserver", "sec-fetch-site": "same-origin"},
        {"origin": "http://127.0.0.1:8080"},  # admin_url, as behind a reverse proxy
        {"sec-fetch-site": "none"},
    ],
)
def test_programs_and_our_own_pages_may(client, headers):
    assert send(client, headers).status_code == 201


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_could_send_is_no_json(client, content_type):
    response = send(client, {}, content_type)
    assert response.status_code == 415
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("host", ["evil.test", "evil.test:8080", "127.0.0.1.evil.test", "10.0.0.1", "a b", ""])
def test_a_foreign_name_is_refused_with_the_right_one(client, path, host):
    response = client.get(path, headers={"host": host})
    assert response.status_code == 400
    assert b"http://127.0.0.1:8080" in response.content
    is_api = path.startswith("/api/")
    assert response.headers["Content-Type"].startswith("application/problem+json" if is_api else "text/html")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9999", "[::1]:8080", "LOCALHOST"])
def test_the_names_of_this_machine_are_ours(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_browsers_are_told_to_load_nothing_from_elsewhere(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    for directive in ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/files/declare", "/files/1/retry", "/files/1/block", "/files/1/unblock"])
def test_forms_need_their_token(path):
    client = Client(enforce_csrf_checks=True)
    response = client.post(path, {"uris": URI, "project": "firmware", "reason": "because"})
    assert response.status_code == 403
    assert b"send the form again" in response.content
    assert not File.objects.exists()


def test_a_form_of_another_origin_is_refused_even_with_a_token():
    client = Client(enforce_csrf_checks=True)
    client.get("/files/declare")
    token = client.cookies["csrftoken"].value
    form = {"uris": URI, "project": "firmware", "reason": "because", "csrfmiddlewaretoken": token}
    assert client.post("/files/declare", form, headers={"origin": "https://evil.test"}).status_code == 403
    assert client.post("/files/declare", form, headers={"origin": "http://testserver"}).status_code == 302


def test_the_token_is_for_this_site_alone():
    client = Client()
    client.get("/files/declare")
    cookie = client.cookies["csrftoken"]
    assert cookie["samesite"] == "Strict"
    assert cookie["httponly"]
