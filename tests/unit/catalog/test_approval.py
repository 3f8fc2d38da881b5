"""Approval: what a declarer declares waits, and what becomes of it; files and images alike."""

import pytest

from distfile_mirror.catalog import moderate, queue
from distfile_mirror.catalog.approval import approve, decide_many, list_waiting, reject
from distfile_mirror.catalog.models import AuditEvent, File, Image
from distfile_mirror.errors import ConflictError, InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from tests.unit.catalog import files, images
from tests.unit.catalog.files import LEASE, OWNER, SHA256

pytestmark = pytest.mark.django_db

FALLBACK = "https://mirror.test/foo-1.2.tar.gz"


def requested(kind, **given):
    if kind is File:
        return files.declare(approved=False, **given).file
    return images.declare(approved=False, **given).image


def again(kind, *, approved, **given):
    return (files if kind is File else images).declare(approved=approved, actor="dave", **given)


def fresh(artifact):
    return type(artifact).objects.get(pk=artifact.pk)


def actions(artifact):
    kind = "file" if isinstance(artifact, File) else "image"
    events = AuditEvent.objects.filter(subject_kind=kind, subject_id=artifact.pk).order_by("pk")
    return list(events.values_list("action", flat=True))


both = pytest.mark.parametrize("kind", [File, Image])


@both
def test_what_is_requested_is_not_fetched(kind):
    artifact = fresh(requested(kind))
    assert (artifact.state, artifact.due_at) == (State.REQUESTED, None)
    assert queue.claim(OWNER, limit=10, lease=LEASE) == []
    assert actions(artifact) == ["declared", "use added"]


@both
def test_what_is_approved_is_due_at_once(kind):
    artifact = fresh(approve(kind, requested(kind).pk, actor="bob"))
    assert artifact.state == State.PENDING
    assert artifact.due_at is not None
    assert actions(artifact) == ["declared", "use added", "approved"]
    with pytest.raises(ConflictError, match="is pending; only what is requested"):
        approve(kind, artifact.pk, actor="bob")


@both
def test_what_is_rejected_says_why(kind):
    artifact = fresh(reject(kind, requested(kind).pk, reason=" not its licence ", actor="bob"))
    assert (artifact.state, artifact.message, artifact.due_at) == (State.REJECTED, "not its licence", None)
    assert actions(artifact)[-1] == "rejected"
    with pytest.raises(ConflictError):
        reject(kind, artifact.pk, reason="again", actor="bob")
    with pytest.raises(ConflictError):
        approve(kind, artifact.pk, actor="bob")


@both
@pytest.mark.parametrize("reason", ["", "  ", "a\0b"])
def test_a_rejection_needs_a_reason(kind, reason):
    artifact = requested(kind)
    with pytest.raises(InvalidInputError):
        reject(kind, artifact.pk, reason=reason, actor="bob")
    assert fresh(artifact).state == State.REQUESTED


@both
def test_what_is_not_there_is_not_decided_on(kind):
    with pytest.raises(NotFoundError):
        approve(kind, 99, actor="bob")
    with pytest.raises(NotFoundError):
        reject(kind, 99, reason="x", actor="bob")


@both
def test_declared_again_it_has_a_further_use_and_still_waits(kind):
    artifact = requested(kind)
    assert again(kind, approved=False, project="toolchain").use_added
    assert fresh(artifact).state == State.REQUESTED
    assert fresh(artifact).uses.count() == 2


@both
@pytest.mark.parametrize("project", ["firmware", "toolchain"])
def test_declared_again_by_who_may_approve_it_is_approved(kind, project):
    artifact = requested(kind)
    again(kind, approved=True, project=project)
    assert fresh(artifact).state == State.PENDING
    assert "approved" in actions(artifact)


@both
def test_what_was_rejected_stays_so_unless_somebody_who_may_declares_it(kind):
    artifact = requested(kind)
    reject(kind, artifact.pk, reason="not its licence", actor="bob")
    with pytest.raises(ConflictError, match="rejected: not its licence"):
        again(kind, approved=False, project="toolchain")
    assert fresh(artifact).uses.count() == 1, "nothing of a refused declaration stays"
    again(kind, approved=True, project="toolchain")
    assert (fresh(artifact).state, fresh(artifact).message) == (State.PENDING, "")
    assert fresh(artifact).uses.count() == 2


@pytest.mark.parametrize("make", [files.declare, files.failed, files.fetching])
def test_what_was_approved_is_not_changed_without_approval(make):
    made = make()
    file = made if isinstance(made, File) else made.file
    assert again(File, approved=False, project="toolchain").use_added
    before = fresh(file)
    with pytest.raises(ConflictError, match="somebody who may approve"):
        again(File, approved=False, checksums=[SHA256], fallback_uris=[FALLBACK])
    with pytest.raises(ConflictError):
        moderate.amend(file.pk, checksums=[SHA256], actor="dave", approved=False)
    assert (fresh(file).expected, fresh(file).fallback_uris, fresh(file).state) == ({}, [], before.state)


def test_what_still_waits_may_be_changed():
    file = requested(File)
    again(File, approved=False, checksums=[SHA256], fallback_uris=[FALLBACK])
    assert fresh(file).expected == {"sha256": SHA256}
    moderate.amend(file.pk, checksums=[f"sha256:{SHA256}"], actor="dave", approved=False)
    assert fresh(file).state == State.REQUESTED


def test_many_are_decided_on_and_one_does_not_stop_the_others():
    file, image, done = requested(File), requested(Image), files.declare("https://example.org/done").file
    decided = decide_many([file.pk, done.pk, 99, file.pk], [image.pk], reason=None, actor="bob")
    assert [(each.kind, each.number, bool(each.problem)) for each in decided] == [
        ("file", file.pk, False),
        ("file", done.pk, True),
        ("file", 99, True),
        ("image", image.pk, False),
    ]
    assert fresh(image).state == State.PENDING
    with pytest.raises(InvalidInputError):
        decide_many([file.pk], [], reason=" ", actor="bob")


def test_what_waits_is_listed_oldest_first():
    first, second = (requested(File, uri=f"https://example.org/{number}") for number in range(2))
    image = requested(Image)
    files.declare("https://example.org/approved")
    waiting = list_waiting()
    assert ([each.pk for each in waiting.files], [each.pk for each in waiting.images]) == (
        [first.pk, second.pk],
        [image.pk],
    )
    assert waiting.count == 3
