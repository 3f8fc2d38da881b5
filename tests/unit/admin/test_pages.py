"""The pages: what people see, and that nothing that others wrote does anything there."""

import re
from dataclasses import replace

import pytest
from django.db import OperationalError, connection

from distfile_mirror.catalog import queue
from distfile_mirror.catalog.models import File
from distfile_mirror.errors import StorageError
from tests.unit.catalog.files import (
    LEASE,
    MD5,
    OTHER_SHA256,
    OWNER,
    SHA256,
    URI,
    blocked,
    declare,
    failed,
    fetching,
    fresh,
    present,
)

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"


def text(response, status=200):
    assert response.status_code == status
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert int(response.headers["Content-Length"]) == len(response.content)
    return response.content.decode()


def form(**given):
    return {"uris": URI, "project": "firmware", "reason": "because", **given}


def test_an_empty_list_says_what_to_do(client):
    page = text(client.get("/files"))
    assert "Nothing has been declared yet" in page
    assert "distfile-mirror add --server http://127.0.0.1:8080 https://example.org/" in page


@pytest.mark.parametrize("path", ["/", "/files/declare", "/files/99", "/files?state=lost"])
def test_every_page_says_that_nobody_signs_in(client, path):
    page = client.get(path).content.decode()
    assert "No sign-in is configured" in page
    assert "<strong>tester</strong>" in page


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/files",
        "/files/declare",
        "/files/1",
        "/misses",
        "/projects",
        "/projects/1",
        "/audit",
        "/setup",
        "/nowhere",
    ],
)
def test_no_page_has_a_script_or_style_inside_or_from_elsewhere(client, path):
    present()
    page = client.get(path).content.decode()
    assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on[a-z]+=", page)
    for address in re.findall(r'(?:src|action|href)="([^"]*)"', page):
        assert address.startswith(("/", "#", "?")), address


def test_the_list_shows_state_name_size_and_project(client):
    present(project="toolchain")
    failed("https://example.org/gone.tgz", message="404 Not Found")
    page = text(client.get("/files"))
    for part in ("state-present", "foo-1.2.tar.gz", "19 B", "toolchain", "state-failed", "404 Not Found"):
        assert part in page
    assert "gone.tgz" not in text(client.get("/files?state=present"))
    assert "No file is like that" in text(client.get("/files?state=present&project=other"))


def test_filters_stay_in_every_link(client):
    for number in range(51):
        declare(f"https://example.org/{number}", project="a & b")
    page = text(client.get("/files?q=example&project=a+%26+b"))
    assert 'href="?q=example&amp;project=a+%26+b&amp;state=failed"' in page
    older = re.search(r'rel="next" href="([^"]*)"', page)[1].replace("&amp;", "&")
    page = text(client.get("/files" + older))
    assert page.count("<tr>") == 2, "its head, and the one row that is left"
    assert "Newest" in page


def test_a_search_for_an_undeclared_uri_offers_to_declare_it(client):
    page = text(client.get("/files", {"q": "https://example.org/a?b=1&c=2"}))
    assert 'href="/files/declare?uri=https%3A%2F%2Fexample.org%2Fa%3Fb%3D1%26c%3D2"' in page


@pytest.mark.parametrize("path", ["/files?state=lost", "/files?cursor=x"])
def test_a_list_that_cannot_be_is_explained(client, path):
    text(client.get(path), 422)


def test_the_form_is_filled_in_from_the_address(client):
    declare(project="toolchain")
    page = text(client.get("/files/declare", {"uri": URI, "project": "firmware"}))
    assert f"{URI}</textarea>" in page
    assert 'value="firmware"' in page
    assert '<option value="toolchain">' in page
    assert "Declare 1 file<" in page


def test_declaring_one_leads_to_it(client):
    response = client.post("/files/declare", form(checksums=f"sha256:{SHA256}", fallback_uris="https://mirror.test/x"))
    file = File.objects.get()
    assert response.status_code == 302
    assert response.headers["Location"] == f"/files/{file.pk}"
    assert file.expected == {"sha256": SHA256}
    assert file.fallback_uris == ["https://mirror.test/x"]
    assert file.uses.get().declared_by == "tester"


def test_declaring_many_leads_to_their_project(client):
    lines = f"# two\nhttps://example.org/a sha256:{SHA256}\r\n\r\nhttps://example.org/b\n"
    response = client.post("/files/declare", form(uris=lines, project=" a & b "))
    assert response.headers["Location"] == "/files?project=a+%26+b"
    assert [file.expected for file in File.objects.order_by("uri")] == [{"sha256": SHA256}, {}]


def test_what_is_wrong_is_said_beside_its_field_and_at_the_top(client):
    typed = form(uris="https://example.org/a b", project=" ", licence="MTI", reason="as typed")
    page = text(client.post("/files/declare", typed), 422)
    assert "Nothing was declared" in page
    for field in ("uris", "project", "licence"):
        assert f'<li><a href="#id_{field}">' in page
    assert '<li><a href="#id_checksums">' not in page, "it stands behind the URI, so that is where it is wrong"
    assert page.count("not in the SPDX licence list") == 2
    assert "as typed</textarea>" in page
    assert 'value="MTI"' in page


def test_an_empty_form_is_refused_field_by_field(client):
    page = text(client.post("/files/declare", {}), 422)
    for field in ("uris", "project", "reason"):
        assert f'<li><a href="#id_{field}">' in page


def test_of_many_only_the_wrong_ones_stay_in_the_form(client):
    present("https://example.org/known")
    lines = f"https://example.org/a\nnonsense\nhttps://example.org/known sha256:{OTHER_SHA256}\nhttps://example.org/b x"
    page = text(client.post("/files/declare", form(uris=lines)), 422)
    assert "1 declared" in page
    typed = re.search(r'name="uris"[^>]*>\s*([^<]*)</textarea>', page)[1]
    assert typed.splitlines() == lines.splitlines()[1:]
    assert "Declare 3 files<" in page
    assert OTHER_SHA256 in page
    assert "nonsense: " in page


def test_checksums_and_fallbacks_are_for_one(client):
    typed = form(uris="https://example.org/a\nhttps://example.org/b", checksums=SHA256, fallback_uris=URI)
    page = text(client.post("/files/declare", typed), 422)
    assert page.count("for one URI; with several") == 2
    assert not File.objects.exists()


def test_too_many_at_a_time_are_refused(client):
    page = text(client.post("/files/declare", form(uris="https://example.org/a\n" * 1001)), 422)
    assert "1001 are too many" in page


def test_a_store_that_does_not_answer_loses_nothing_typed(client, settings, context):
    def broken(_sha256, _algorithms):
        raise StorageError("the disk is gone")

    settings.DISTFILE_MIRROR = replace(context, digests_of=broken)
    present()
    page = text(client.post("/files/declare", form(checksums=f"md5:{MD5}", reason="as typed")), 503)
    assert "the disk is gone" in page
    assert "as typed</textarea>" in page


def test_a_present_file_has_its_commands(client, settings, context):
    settings.DISTFILE_MIRROR = replace(context, ca_file="/srv/my ca.pem")
    page = text(client.get(f"/files/{present().pk}"))
    command = f"curl --fail --proxy http://127.0.0.1:3128 --cacert &#x27;/srv/my ca.pem&#x27; --remote-name {URI}"
    assert command in page
    assert f"{SHA256}  foo-1.2.tar.gz" in page
    assert "Block this file" in page
    assert "http-equiv" not in page


def test_plain_http_needs_no_ca(client):
    page = text(client.get(f"/files/{declare('http://example.org/').file.pk}"))
    assert "--cacert" not in page
    assert "--output download" in page


def test_a_download_shows_how_far_it_is_and_looks_again(client):
    file = fetching()
    queue.report(OWNER, {file.pk: queue.Progress(3 << 20, 12 << 20)}, lease=LEASE)
    page = text(client.get(f"/files/{file.pk}"))
    assert "3 MiB of 12 MiB" in page
    assert 'max="12582912" value="3145728"' in page
    assert 'http-equiv="refresh" content="2"' in page


def test_a_file_that_waits_says_until_when(client):
    file = fetching()
    queue.record(OWNER, [queue.Failed(file.pk, "the connection was reset", 10 * LEASE)])
    page = text(client.get(f"/files/{file.pk}"))
    assert "the connection was reset. The next attempt is" in page
    assert "in 9 minutes" in page
    assert 'content="15"' in page


def test_a_file_known_by_weak_checksums_is_flagged(client):
    assert "Only weak checksums" in text(client.get(f"/files/{declare(checksums=['md5:' + MD5]).file.pk}"))


def test_a_failed_file_is_tried_again(client):
    file = failed()
    assert "Try again" in text(client.get(f"/files/{file.pk}"))
    assert client.post(f"/files/{file.pk}/retry").headers["Location"] == f"/files/{file.pk}"
    assert fresh(file).state == "pending"
    assert "only what has failed" in text(client.post(f"/files/{file.pk}/retry"), 409)


def test_a_failed_file_is_amended(client):
    file = failed(checksums=[OTHER_SHA256])
    page = text(client.post(f"/files/{file.pk}/retry", {"checksums": "nonsense"}), 422)
    assert "nonsense</textarea>" in page
    assert "is not a checksum" in page
    client.post(f"/files/{file.pk}/retry", {"checksums": f"sha256:{SHA256}"})
    assert fresh(file).expected == {"sha256": SHA256}


def test_blocking_needs_a_reason_and_can_be_undone(client):
    file = present()
    assert "say why" in text(client.post(f"/files/{file.pk}/block", {"reason": " "}), 422)
    client.post(f"/files/{file.pk}/block", {"reason": "malicious"})
    page = text(client.get(f"/files/{file.pk}"))
    assert "Builds are refused it: malicious" in page
    assert "Serve it again" in page
    client.post(f"/files/{file.pk}/unblock")
    assert fresh(file).state == "present"
    text(client.post(f"/files/{file.pk}/unblock"), 409)


def test_the_history_tells_every_change(client):
    page = text(client.get(f"/files/{blocked(checksums=[SHA256]).pk}"))
    for part in (
        "declared",
        "use added",
        "fetched",
        "blocked",
        "alice",
        "bob",
        f"sha256:{SHA256}",
        "(before: fetching)",
    ):
        assert part in page


def test_what_others_wrote_is_inert(client):
    uri = "https://example.org/'\"><svg%20onload=alert(1)>.tgz?<script>"
    file = failed(uri, project=HOSTILE, reason=HOSTILE, message=HOSTILE, actor=HOSTILE)
    addresses = ["/", f"/files/{file.pk}", "/files/declare"]
    pages = [client.get(path).content.decode() for path in addresses]
    pages.append(client.get("/files", {"q": HOSTILE, "project": HOSTILE}).content.decode())
    pages.append(client.get("/files/declare", {"uri": HOSTILE, "project": HOSTILE}).content.decode())
    pages.append(client.post("/files/declare", form(uris=HOSTILE, licence=HOSTILE)).content.decode())
    pages.append(client.get("/files", {"state": HOSTILE}).content.decode())
    for page in pages:
        assert not re.search(r"<script(?! src=\"/static/)|<img|javascript:", page)


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/files/99", 404), (f"/files/{'9' * 30}", 404)])
def test_what_is_not_there_is_explained(client, path, status):
    page = text(client.get(path), status)
    assert "Not Found" in page
    assert "Traceback" not in page


@pytest.mark.parametrize("path", ["/files/99/retry", "/files/99/block", "/files/99/unblock"])
def test_what_is_not_there_is_not_changed(client, path):
    text(client.post(path, {"reason": "x"}), 404)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_explained(client):
    def broken(_execute, _sql, _parameters, _many, _context):
        raise OperationalError("server closed the connection")

    with connection.execute_wrapper(broken):
        response = client.get("/files")
    assert "database does not answer" in text(response, 503)
    assert response.headers["Retry-After"]
    text(client.get("/files"))


def test_a_fault_of_our_own_is_explained_without_details(client, settings, context):
    def broken(_sha256, _algorithms):
        raise ZeroDivisionError("secret detail")

    settings.DISTFILE_MIRROR = replace(context, digests_of=broken)
    present()
    client.raise_request_exception = False
    page = text(client.post("/files/declare", form(checksums=f"md5:{MD5}")), 500)
    assert "fault of the server" in page
    assert "secret detail" not in page
    assert "Traceback" not in page
