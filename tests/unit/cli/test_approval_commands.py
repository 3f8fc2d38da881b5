"""Approving and rejecting from a terminal, what waiting says, and what is said without a right."""

import json
import threading
import time

import pytest
from django.db import connection

from distfile_mirror.catalog.approval import reject
from distfile_mirror.catalog.models import File
from tests.unit.admin.people import person, secret_of, with_sign_in
from tests.unit.catalog.files import URI, declare, fresh
from tests.unit.cli.conftest import arrives, downloads

USE = ("--project", "firmware", "--reason", "because")


@pytest.fixture
def tokens(server, settings):
    with_sign_in(settings, require_approval=True)
    return {
        name: {"DISTFILE_MIRROR_TOKEN": secret_of(person(name, role))}
        for name, role in (("vic", "viewer"), ("dave", "declarer"), ("ann", "approver"))
    }


def test_what_is_declared_waits_and_is_approved(run, tokens):
    result = run("add", URI, *USE, env=tokens["dave"])
    file = File.objects.get()
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{URI} waits for approval (file {file.pk})\n"
    result = run("approve", URI, env=tokens["ann"])
    assert result.stdout == f"{URI} is pending (file {file.pk})\n"
    result = run("approve", file.pk, env=tokens["ann"])
    assert result.exit_code == 1
    assert "only what is requested" in result.stderr


def test_what_is_rejected_says_why(run, tokens):
    run("add", URI, *USE, env=tokens["dave"])
    result = run("reject", URI, "--reason", "not its licence", env=tokens["ann"])
    assert result.stdout == f"{URI} was rejected: not its licence\n"
    again = run("add", URI, "--project", "x", "--reason", "y", env=tokens["dave"])
    assert again.exit_code == 1
    assert "this was rejected: not its licence" in again.stderr
    shown = json.loads(run("show", URI, "--json", env=tokens["dave"]).stdout)
    assert (shown["state"], shown["message"]) == ("rejected", "not its licence")


def test_waiting_says_that_it_waits_for_approval(run, tokens):
    file = declare(approved=False).file
    result = run("wait", URI, "--timeout", "0.3", env=tokens["vic"])
    assert result.exit_code == 1
    assert f"waits for approval (file {file.pk})" in result.stdout
    assert "not approved after 0.3 seconds: 1" in result.stderr
    assert "download goes on" not in result.stderr


@pytest.mark.parametrize("end", ["approved", "rejected"])
def test_waiting_goes_on_until_somebody_decides(run, tokens, end):
    file = declare(approved=False).file

    def decide():
        time.sleep(0.4)
        if end == "approved":
            declare(approved=True)
        else:
            reject(File, file.pk, reason="no", actor="ann")
        connection.close()

    thread = threading.Thread(target=decide)
    thread.start()
    with downloads(arrives):
        result = run("wait", URI, "--timeout", "20", env=tokens["vic"])
    thread.join()
    assert result.exit_code == (0 if end == "approved" else 1)
    assert "waits for approval" in result.stdout
    assert ("is present" if end == "approved" else "was rejected: no") in result.stdout
    assert fresh(file).state == ("present" if end == "approved" else "rejected")


def test_without_a_token_one_is_told_how_to_get_one(run, tokens):
    for env in ({}, {"DISTFILE_MIRROR_TOKEN": "dfm_wrong"}):
        result = run("list", env=env)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert "make a token on the account page" in result.stderr
        assert "DISTFILE_MIRROR_TOKEN" in result.stderr


def test_without_the_role_one_is_told_which(run, tokens):
    result = run("add", URI, *USE, env=tokens["vic"])
    assert result.exit_code == 1
    assert "this needs the role declarer, and vic (by the token ci" in result.stderr
    assert not File.objects.exists()
