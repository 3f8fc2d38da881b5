"""The commands, run against a real server on a real database."""

import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
import typer
from django.db import connection
from typer.testing import CliRunner

from distfile_mirror.catalog import queue
from distfile_mirror.cli import client_commands
from tests.unit.admin.running_admin import running_admin
from tests.unit.catalog.files import CONTENT, LEASE, OWNER, SHA256, digests_of_content


@pytest.fixture(scope="session")
def started_server(django_db_setup):
    # The server runs in this process, and what it logs is no output of a command.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    with running_admin() as address:
        yield address
    structlog.reset_defaults()


@pytest.fixture
def server(started_server, transactional_db, settings):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, digests_of=digests_of_content)
    return started_server


@pytest.fixture
def run(server):
    """Run the program with words; the server is found by the environment."""
    app = typer.Typer(pretty_exceptions_enable=False)
    client_commands.register(app)

    def run(*words, stdin="", env=None):
        environment = {"DISTFILE_MIRROR_SERVER": server, "COLUMNS": "200", **(env or {})}
        return CliRunner(env=environment).invoke(app, [str(word) for word in words], input=stdin)

    return run


@contextmanager
def downloads(outcome_of):
    """Play the downloader: whatever becomes due is recorded as ``outcome_of`` says."""
    stop = threading.Event()

    def work():
        try:
            while not stop.wait(0.02):
                for claim in queue.claim(OWNER, limit=10, lease=LEASE):
                    at = queue.Progress(5, len(CONTENT))
                    queue.report(OWNER, {claim.row_id: at}, lease=LEASE)
                    queue.record(OWNER, [outcome_of(claim)])
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def arrives(claim):
    return queue.Fetched(claim.row_id, SHA256, len(CONTENT), {"sha256": SHA256}, {}, claim.uri)


def fails(claim):
    return queue.Failed(claim.row_id, "404 Not Found: it is not there", None)


def is_slow(claim):
    return queue.Failed(claim.row_id, "the connection was reset", timedelta(hours=1))
