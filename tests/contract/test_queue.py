"""What the queue keeps to on every database: nothing is done twice, nothing is lost."""

import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from distfile_mirror.catalog import queue
from distfile_mirror.catalog.declare import FileDeclaration, declare_file
from distfile_mirror.catalog.models import AuditEvent, File
from distfile_mirror.errors import UnavailableError
from tests.databases import KIND, current_url

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(seconds=30)
SHA256 = "ab" * 32

CLAIM_ALL = """
import sys
from datetime import timedelta
from distfile_mirror.catalog import database
database.configure(sys.argv[1])
from distfile_mirror.catalog import queue
sys.stdin.readline()
while claims := queue.claim(sys.argv[2], limit=3, lease=timedelta(seconds=60)):
    print(*[claim.row_id for claim in claims], flush=True)
"""

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


def declare(count=1, host="up.test"):
    return [
        declare_file(
            FileDeclaration(uri=f"https://{host}/{number}", project="p", reason="r"),
            actor="tester",
            approved=True,
            digests_of=None,
        ).file.pk
        for number in range(count)
    ]


def claim(owner="one", *, limit=10, lease=LEASE, excluded_hosts=()):
    return [row.row_id for row in queue.claim(owner, limit=limit, lease=lease, excluded_hosts=excluded_hosts)]


def fetched(row_id, **changes):
    facts = {"sha256": SHA256, "size": 5, "digests": {"sha256": SHA256}, "headers": {}, "final_uri": "https://x.test/"}
    return queue.Fetched(row_id=row_id, **(facts | changes))


def row(row_id):
    return File.objects.get(pk=row_id)


def test_claims_the_longest_due_first_and_none_twice():
    ids = declare(5)
    assert claim(limit=2) == ids[:2]
    assert claim("two") == ids[2:]
    assert claim("three") == []
    assert row(ids[0]).state == "fetching"


def test_excluded_hosts():
    declare(2, "a.test")
    there = declare(1, "b.test")
    assert claim(excluded_hosts=["a.test"]) == there


def test_several_processes_claim_each_row_once():
    ids = declare(60)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, current_url(), f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(int(word) for output in outputs for word in output.split()) == ids


def test_a_lease_runs_out():
    (row_id,) = declare()
    assert claim(lease=timedelta(seconds=0.2)) == [row_id]
    assert claim("two") == []
    time.sleep(0.25)
    assert claim("two") == [row_id]
    queue.record("one", [fetched(row_id)])  # too late
    assert row(row_id).state == "fetching"
    queue.record("two", [fetched(row_id)])
    assert row(row_id).state == "present"


def test_report_renews_the_lease():
    (row_id,) = declare()
    claim(lease=timedelta(seconds=0.2))
    assert queue.report("one", {row_id: queue.Progress(7, 9)}, lease=LEASE) == set()
    assert queue.report("two", {row_id: queue.Progress(8, 9)}, lease=LEASE) == {row_id}  # not its row
    time.sleep(0.25)
    assert claim("two") == []
    assert (row(row_id).received_bytes, row(row_id).total_bytes) == (7, 9)


def test_release_of_a_dead_owner():
    ids = declare(3)
    claim(limit=2)
    assert queue.release_owner("one") == 2
    assert sorted(claim("two")) == ids
    assert queue.release_owner("one") == 0


def test_outcomes_are_recorded_together():
    present, failed, later, released, paused = declare(5)
    claim()
    wait = timedelta(seconds=100)
    queue.record(
        "one",
        [
            fetched(present, headers={"Content-Type": "a/b"}, digests={"sha256": SHA256, "md5": "0" * 32}),
            queue.Failed(failed, "never", None),
            queue.Failed(later, "not now", wait),
            queue.Released(released),
            queue.Released(paused, "the store is full", wait),
        ],
    )
    assert row(present).state == "present"
    assert row(present).digests == {"sha256": SHA256, "md5": "0" * 32}
    assert row(present).headers == {"Content-Type": "a/b"}
    assert (row(present).sha256, row(present).size, row(present).due_at) == (SHA256, 5, None)
    assert row(present).fetched_at is not None
    assert (row(failed).state, row(failed).message, row(failed).due_at, row(failed).attempts) == (
        "failed",
        "never",
        None,
        1,
    )
    assert (row(later).state, row(later).attempts) == ("pending", 1)
    assert 90 < (row(later).due_at - timezone.now()).total_seconds() <= 100
    assert (row(released).state, row(released).attempts) == ("pending", 0)
    assert (row(paused).state, row(paused).message, row(paused).attempts) == ("pending", "the store is full", 0)
    assert claim("two") == [released]
    assert AuditEvent.objects.filter(actor="one").count() == 3


def test_recording_twice_changes_nothing():
    (row_id,) = declare()
    claim()
    queue.record("one", [fetched(row_id)])
    queue.record("one", [queue.Failed(row_id, "no", None)])
    assert row(row_id).state == "present"


def test_a_checksum_declared_meanwhile_is_kept_to():
    wrong, unknown = declare(2)
    claim()
    for row_id, checksum in ((wrong, "sha256:" + "cd" * 32), (unknown, "md5:" + "0" * 32)):
        declare_file(
            FileDeclaration(uri=row(row_id).uri, project="q", reason="r", checksums=[checksum]),
            actor="tester",
            approved=True,
            digests_of=None,
        )
    queue.record("one", [fetched(wrong), fetched(unknown)])
    assert row(wrong).state == "failed"
    assert row(unknown).state == "pending"


def test_a_broken_connection_is_told_and_replaced():
    declare()
    with _broken_connection(), pytest.raises(UnavailableError):
        claim()
    assert len(claim()) == 1


@contextmanager
def _broken_connection():
    """Let the database fail this process's connection: SQLite by a lock, a server by ending the session."""
    if KIND == "sqlite":
        with subprocess.Popen(
            [sys.executable, "-c", HOLD_LOCK, connection.settings_dict["NAME"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdout.readline()
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 50")
            yield
            process.communicate("\n")
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        other.close()
    yield


def test_a_lease_that_ran_out_is_left_to_its_owner_where_nobody_is_to_be_taken_over():
    lost, fresh = declare(2)
    assert claim(limit=1, lease=timedelta(0)) == [lost]
    assert [found.row_id for found in queue.claim("two", limit=9, lease=LEASE, take_over=False)] == [fresh]
    queue.record("one", [fetched(lost)])
    assert row(lost).state == "present"
