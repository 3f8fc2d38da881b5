"""A server where people sign in and declarations are approved: from the first administrator to the stored file."""

import ssl
import subprocess

import httpx
import pytest

from tests.acceptance.account_page import token_of
from tests.acceptance.running_mirror import PROGRAM, RunningMirror, clean_environment
from tests.upstream_server import file

PASSWORD = "a long and quiet river"
SETTINGS = {"DISTFILE_MIRROR_SIGN_IN": "accounts", "DISTFILE_MIRROR_REQUIRE_APPROVAL": "true"}
URI = "https://up.test/foo-1.2.tar.gz"
USE = ("--project", "firmware", "--reason", "to see it work")


@pytest.fixture
def mirror(tmp_path, authority, upstream):
    upstream.routes["/foo-1.2.tar.gz"] = file(b"content")
    with RunningMirror(
        tmp_path,
        upstream_ca=authority.ca_file,
        upstream={"up.test": upstream.port},
        flags=("--workers", "1"),
        environment=SETTINGS,
    ) as running:
        yield running


def add_user(mirror, name, role):
    command = [PROGRAM, "users", "add", name, "--role", role, "--data-dir", mirror.data]
    subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True, env=clean_environment())


def test_from_the_first_user_to_the_stored_file(mirror):
    assert httpx.get(f"{mirror.admin}/files", trust_env=False).headers["Location"] == "/sign-in?next=%2Ffiles"
    refused = mirror.run("add", URI, *USE, check=False)
    assert refused.returncode == 1
    assert "account page" in refused.stderr
    tokens = {}
    for name, role in (("dave", "declarer"), ("ann", "approver")):
        add_user(mirror, name, role)
        tokens[name] = token_of(mirror.admin, name, PASSWORD)
    assert "waits for approval" in mirror.run("add", URI, *USE, "--token", tokens["dave"]).stdout
    late = mirror.run("wait", URI, "--timeout", "1", "--token", tokens["dave"], check=False)
    assert late.returncode == 1
    assert "not approved after 1 seconds" in late.stderr
    assert mirror.run("approve", URI, "--token", tokens["dave"], check=False).returncode == 1
    mirror.run("approve", URI, "--token", tokens["ann"])
    assert "is present" in mirror.run("wait", URI, "--timeout", "60", "--token", tokens["dave"]).stdout
    with httpx.Client(
        proxy=mirror.proxy, verify=ssl.create_default_context(cafile=mirror.ca), trust_env=False
    ) as build:
        assert build.get(URI).content == b"content"


def test_others_may_reach_it_once_there_is_a_sign_in(tmp_path):
    command = [PROGRAM, "web-admin", "--data-dir", tmp_path, "--admin-listen", "0.0.0.0:0"]
    done = subprocess.run(command, text=True, check=False, capture_output=True, env=clean_environment(), timeout=30)
    assert done.returncode == 2
    assert "set sign_in to accounts, oidc or header" in done.stderr
    subprocess.run([PROGRAM, "migrate", "--data-dir", tmp_path], check=True, env=clean_environment(), timeout=60)
    environment = clean_environment(DISTFILE_MIRROR_SIGN_IN="accounts")
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=environment) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)  # it serves
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
