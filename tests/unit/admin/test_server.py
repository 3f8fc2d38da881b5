"""The admin as a process: static files, keep-alive, odd requests, and an orderly end."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.unit.admin.running_admin import running_admin
from tests.unit.catalog.files import URI

pytestmark = pytest.mark.django_db(transaction=True)

SERVE = """
import socket, sys, time
from distfile_mirror.admin.server import make_application, make_server, serve
from distfile_mirror.admin.settings import AdminContext

folder = sys.argv[1]
application = make_application(AdminContext(
    database_url=f"sqlite:///{folder}/catalog.sqlite3",
    admin_url="http://127.0.0.1:1", proxy_url="http://127.0.0.1:2", ca_file="ca.pem",
    local_user="someone", secret_key="x" * 50, digests_of=lambda *_: {}, check_blobs=lambda: time.sleep(0.6),
    resolve_tag=lambda *_: None, default_platforms=("linux/amd64",),
))
from distfile_mirror.catalog.database import migrate
migrate()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
serve(make_server(application, threads=4, stop_grace=5), listener)
print("stopped in order", flush=True)
"""


CHUNKED = (
    b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
)


def ask(address, method="GET", path="/", body=None, headers=None):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def address(django_db_setup):
    with running_admin() as address:
        yield address


def test_static_files_come_from_the_package(address):
    _response, page = ask(address)
    stylesheet = re.search(r'href="(/static/[^"]*css[^"]*)"', page.decode())[1]
    response, content = ask(address, path=stylesheet)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/css")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=86400" in response.headers["Cache-Control"]
    assert b"prefers-color-scheme: dark" in content
    assert ask(address, path="/static/mirror/icon.svg")[0].headers["Content-Type"] == "image/svg+xml"
    assert ask(address, path="/static/../settings.py")[0].status == 404
    assert len(page) + len(content) < 50_000


def test_a_declaration_survives_what_the_database_went_through_before(address):
    body = json.dumps({"uri": URI, "project": "firmware", "reason": "because"})
    headers = {"Content-Type": "application/json"}
    assert [ask(address, "POST", "/api/v1/files", body, headers)[0].status for _ in range(6)] == [201] + [200] * 5


def test_one_connection_takes_many_requests_and_head_has_no_body(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, "/health")
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200
        assert len(body) == (0 if method == "HEAD" else int(response.headers["Content-Length"]))
    connection.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /?q=\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /%FF%00?q=%FF%00 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n",
        CHUNKED,
        b"nonsense\r\n\r\n",
    ],
)
def test_an_odd_request_is_answered_and_never_a_server_error(address, request_bytes):
    with socket.create_connection(("127.0.0.1", urlsplit(address).port), timeout=10) as client:
        client.sendall(request_bytes)
        answer = client.makefile("rb").read()
    status = int(answer.split()[1])
    assert status < 500, answer
    assert b"Traceback" not in answer
    assert ask(address)[0].status == 200


def test_requests_are_answered_side_by_side():
    together = threading.Barrier(3, timeout=10)

    def application(_environ, start_response):
        together.wait()
        start_response("204 No Content", [])
        return []

    with running_admin(application, threads=3) as address:
        threads = [threading.Thread(target=ask, args=(address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not together.broken


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_under_way_finish_and_ends_in_order(tmp_path, number):
    command = [sys.executable, "-W", "error", "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        answers = []
        # The health check of this server takes a while.
        thread = threading.Thread(target=lambda: answers.append(ask(address, path="/health")))
        thread.start()
        time.sleep(0.2)
        process.send_signal(number)
        thread.join()
        out, err = process.communicate(timeout=20)
    assert [response.status for response, _body in answers] == [200]
    assert out == "stopped in order\n"
    assert err == ""
    assert process.returncode == 0


def test_who_was_let_in_just_before_the_end_is_answered(tmp_path):
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=10)
        with closing(connection):
            connection.connect()
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.15)  # it looks for signals ten times a second
            connection.request("GET", "/static/mirror/icon.svg")
            with connection.getresponse() as response:
                assert response.status == 200
        assert process.wait(10) == 0
