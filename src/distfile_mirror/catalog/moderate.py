"""What a person does to a file or an image after declaring it: try again, amend, block, unblock."""

import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.models import File, Image, Revision
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import ConflictError, NotFoundError
from distfile_mirror.model.checksums import parse_checksums
from distfile_mirror.model.states import State, check_moves

BLOCKS = "blocks"
MAX_REASON_CHARACTERS = 4000

Artifact = TypeVar("Artifact", File, Image)


def required_text(text: str, longest: int, missing: str) -> str:
    """Return ``text`` as it is stored; ValueError (``missing``, if it is empty) for what cannot be."""
    text = unicodedata.normalize("NFC", text.strip())
    if not text:
        raise ValueError(missing)
    if len(text) > longest:
        message = f"{len(text)} characters are too many; at most {longest} are possible"
        raise ValueError(message)
    if "\0" in text:
        message = "a NUL character cannot be stored"
        raise ValueError(message)
    return text


def reason_text(text: str, missing: str) -> str:
    """Return the reason for something as it is stored. Raises ValueError as above."""
    return required_text(text, MAX_REASON_CHARACTERS, missing)


def make_pending(artifact: File | Image) -> None:
    """Put an artifact back into the queue, due at once, without saving it. Raises ConflictError."""
    artifact.state = check_moves(State(artifact.state), State.PENDING)
    artifact.message = ""
    artifact.attempts = 0
    artifact.received_bytes = 0
    artifact.total_bytes = None
    artifact.due_at = timezone.now()


def retry(kind: type[Artifact], artifact_id: int, *, actor: str) -> Artifact:
    """Try a failed download again. Raises NotFoundError, ConflictError."""
    with transaction.atomic():
        artifact = locked(kind, artifact_id)
        before = {"state": artifact.state, "message": artifact.message}
        if artifact.state != State.FAILED:
            message = f"{artifact} is {artifact.state}; only what has failed can be tried again"
            raise ConflictError(message)
        make_pending(artifact)
        artifact.save()
        audit.event(actor, "retried", artifact, before, {"state": artifact.state}).save()
    return artifact


def amend(file_id: int, *, checksums: Sequence[str], actor: str, approved: bool = True) -> File:
    """Replace the expected checksums of a file that is not stored yet; a failed one is tried again.

    ``approved``: whether ``actor`` needs nobody's approval; else only what is still requested can be amended.

    Raises:
        NotFoundError, InvalidInputError.
        ConflictError: if the file is stored, or being fetched just now.
    """
    problems = Problems()
    expected = problems.collect("checksums", parse_checksums, checksums)
    problems.raise_if_any()
    with transaction.atomic():
        file = locked(File, file_id)
        if file.state not in {State.PENDING, State.FAILED, State.REQUESTED}:
            message = f"{file.uri} is {file.state}: only what is not stored yet can be amended"
            raise ConflictError(message)
        if not approved and file.state != State.REQUESTED:
            message = f"{file.uri} was approved with these checksums; somebody who may approve can amend them"
            raise ConflictError(message)
        before = {"state": file.state, "expected": file.expected}
        file.expected = expected or {}
        if file.fallback_uris and not file.expected:
            problems.add("checksums", "the file has fallback URIs, which need an expected checksum")
            problems.raise_if_any()
        if file.state == State.FAILED:
            make_pending(file)
        file.save()
        audit.event(actor, "amended", file, before, {"state": file.state, "expected": file.expected}).save()
    return file


def block(kind: type[Artifact], artifact_id: int, *, reason: str, actor: str) -> Artifact:
    """Stop serving what is present, for ``reason``; its bytes are kept. Raises as retry, InvalidInputError."""
    problems = Problems()
    text = problems.collect("reason", _blocking_reason, reason)
    problems.raise_if_any()
    with transaction.atomic():
        artifact = locked(kind, artifact_id)
        before = {"state": artifact.state, "message": artifact.message}
        _check_blockable(artifact)
        if isinstance(artifact, Image) and artifact.state != State.PRESENT:
            artifact.wants_more = True  # it is fetched when it has been unblocked
        artifact.state = check_moves(State(artifact.state), State.BLOCKED)
        artifact.due_at = None
        artifact.lease_owner = ""
        artifact.message = text or ""
        _save_moved(artifact, "blocked", before, actor)
    return artifact


def unblock(kind: type[Artifact], artifact_id: int, *, actor: str) -> Artifact:
    """Serve a blocked artifact again; what more was wanted of it meanwhile is due. Raises as retry."""
    with transaction.atomic():
        artifact = locked(kind, artifact_id)
        before = {"state": artifact.state, "message": artifact.message}
        if artifact.state != State.BLOCKED:
            message = f"{artifact} is {artifact.state}, not blocked"
            raise ConflictError(message)
        artifact.state = check_moves(State(artifact.state), State.PRESENT)
        artifact.message = ""
        if isinstance(artifact, Image) and artifact.wants_more:
            make_pending(artifact)
        _save_moved(artifact, "unblocked", before, actor)
    return artifact


def blocks_revision() -> int:
    """Return a number that changes whenever something was blocked or unblocked."""
    return Revision.objects.filter(name=BLOCKS).values_list("value", flat=True).first() or 0


def move_revision() -> None:
    """Let the proxies look up again what they remember. To be called in the transaction of the change."""
    Revision.objects.get_or_create(name=BLOCKS)
    Revision.objects.filter(name=BLOCKS).update(value=F("value") + 1)


def locked(kind: type[Artifact], artifact_id: int) -> Artifact:
    """Return an artifact that nobody else changes until the end of the transaction. Raises NotFoundError."""
    artifact = kind.objects.select_for_update().filter(pk=artifact_id).first()
    if artifact is None:
        message = f"there is no {audit.kind_name(kind)} {artifact_id}"
        raise NotFoundError(message)
    return artifact


def _check_blockable(artifact: File | Image) -> None:
    """Raise ConflictError unless something of it is served: all of what is present, or the part that an image has."""
    is_served = artifact.state == State.PRESENT or (isinstance(artifact, Image) and artifact.size is not None)
    if not is_served or artifact.state == State.BLOCKED:
        message = f"{artifact} is {artifact.state}; only what is present can be blocked"
        raise ConflictError(message)


def _blocking_reason(text: str) -> str:
    return reason_text(text, "say why it must not be used; builds are shown the reason")


def _save_moved(artifact: File | Image, action: str, before: dict[str, str], actor: str) -> None:
    artifact.save()
    move_revision()
    after = {"state": artifact.state, "message": artifact.message}
    audit.event(actor, action, artifact, before, after).save()
