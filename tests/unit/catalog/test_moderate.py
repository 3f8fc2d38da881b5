"""What a person does to a file after declaring it."""

import pytest

from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.models import AuditEvent, File
from distfile_mirror.errors import ConflictError, InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from tests.unit.catalog.files import OTHER_SHA256, SHA256, blocked, declare, failed, fetching, fresh, present

pytestmark = pytest.mark.django_db

FALLBACK = "https://mirror.test/foo-1.2.tar.gz"


def last_event(file):
    return AuditEvent.objects.filter(subject_id=file.pk).latest("pk")


def test_a_failed_file_is_due_again():
    file = failed()
    moderate.retry(File, file.pk, actor="dave")
    again = fresh(file)
    assert (again.state, again.message, again.attempts) == (State.PENDING, "", 0)
    assert again.due_at is not None
    event = last_event(file)
    assert (event.actor, event.action) == ("dave", "retried")
    assert event.before["message"].startswith("404")


@pytest.mark.parametrize("make", [fetching, present, blocked])
def test_only_what_failed_is_retried(make):
    file = make()
    with pytest.raises(ConflictError):
        moderate.retry(File, file.pk, actor="dave")
    assert fresh(file).state == file.state


def test_amending_replaces_the_expected_checksums_and_tries_again():
    file = failed(checksums=["sha256:" + OTHER_SHA256])
    moderate.amend(file.pk, checksums=[SHA256], actor="dave")
    assert fresh(file).expected == {"sha256": SHA256}
    assert fresh(file).state == State.PENDING
    assert last_event(file).before["expected"] == {"sha256": OTHER_SHA256}


@pytest.mark.parametrize("make", [fetching, present, blocked])
def test_what_is_stored_or_on_its_way_is_not_amended(make):
    file = make()
    with pytest.raises(ConflictError, match="not stored yet"):
        moderate.amend(file.pk, checksums=[SHA256], actor="dave")
    assert fresh(file).expected == file.expected


def test_a_wrong_checksum_is_named():
    file = declare().file
    with pytest.raises(InvalidInputError) as refused:
        moderate.amend(file.pk, checksums=["md5:x"], actor="dave")
    assert set(refused.value.problems) == {"checksums"}


def test_fallbacks_keep_a_checksum():
    file = declare(checksums=[SHA256], fallback_uris=[FALLBACK]).file
    with pytest.raises(InvalidInputError, match="fallback"):
        moderate.amend(file.pk, checksums=[], actor="dave")
    assert fresh(file).expected == {"sha256": SHA256}


def test_blocking_keeps_the_bytes_and_tells_the_proxies():
    file = present()
    before = moderate.blocks_revision()
    moderate.block(File, file.pk, reason=" malicious ", actor="dave")
    now = fresh(file)
    assert (now.state, now.message, now.sha256) == (State.BLOCKED, "malicious", SHA256)
    assert moderate.blocks_revision() == before + 1
    moderate.unblock(File, file.pk, actor="dave")
    assert (fresh(file).state, fresh(file).message) == (State.PRESENT, "")
    assert moderate.blocks_revision() == before + 2
    assert last_event(file).action == "unblocked"


@pytest.mark.parametrize("make", [failed, fetching, blocked])
def test_only_what_is_present_is_blocked(make):
    with pytest.raises(ConflictError):
        moderate.block(File, make().pk, reason="malicious", actor="dave")


@pytest.mark.parametrize("make", [failed, fetching, present])
def test_only_what_is_blocked_is_unblocked(make):
    with pytest.raises(ConflictError, match="not blocked"):
        moderate.unblock(File, make().pk, actor="dave")


@pytest.mark.parametrize("reason", ["", " \n", "a\0b", "a" * 4001])
def test_a_reason_to_block_is_a_reason(reason):
    file = present()
    with pytest.raises(InvalidInputError) as refused:
        moderate.block(File, file.pk, reason=reason, actor="dave")
    assert set(refused.value.problems) == {"reason"}
    assert fresh(file).state == State.PRESENT


def test_what_is_not_there_is_not_found():
    for act in (
        lambda: moderate.retry(File, 99, actor="x"),
        lambda: moderate.amend(99, checksums=[], actor="x"),
        lambda: moderate.block(File, 99, reason="x", actor="x"),
        lambda: moderate.unblock(File, 2**70, actor="x"),
    ):
        with pytest.raises(NotFoundError):
            act()


def test_audit_events_are_only_ever_added():
    file = declare().file
    event = last_event(file)
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        event.delete()
    assert str(event).endswith(f"alice use added {file.uri}")
