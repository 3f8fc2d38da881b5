"""What a person does to a file after declaring it: try again, amend, block, unblock."""

import unicodedata
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.models import File, Revision
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import ConflictError, NotFoundError
from distfile_mirror.model.checksums import parse_checksums
from distfile_mirror.model.states import State, check_moves

BLOCKS = "blocks"
MAX_REASON_CHARACTERS = 4000


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


def make_pending(file: File) -> None:
    """Put a failed file back into the queue, due at once, without saving it. Raises ConflictError."""
    file.state = check_moves(State(file.state), State.PENDING)
    file.message = ""
    file.attempts = 0
    file.received_bytes = 0
    file.total_bytes = None
    file.due_at = timezone.now()


def retry(file_id: int, *, actor: str) -> File:
    """Try a failed download again. Raises NotFoundError, ConflictError."""
    with transaction.atomic():
        file = _locked(file_id)
        before = {"state": file.state, "message": file.message}
        if file.state != State.FAILED:
            message = f"{file.uri} is {file.state}; only what has failed can be tried again"
            raise ConflictError(message)
        make_pending(file)
        file.save()
        audit.file_event(actor, "retried", file, before, {"state": file.state}).save()
    return file


def amend(file_id: int, *, checksums: Sequence[str], actor: str) -> File:
    """Replace the expected checksums of a file that is not stored yet; a failed one is tried again.

    Raises:
        NotFoundError, InvalidInputError.
        ConflictError: if the file is stored, or being fetched just now.
    """
    problems = Problems()
    expected = problems.collect("checksums", parse_checksums, checksums)
    problems.raise_if_any()
    with transaction.atomic():
        file = _locked(file_id)
        if file.state not in {State.PENDING, State.FAILED, State.REQUESTED}:
            message = f"{file.uri} is {file.state}: only what is not stored yet can be amended"
            raise ConflictError(message)
        before = {"state": file.state, "expected": file.expected}
        file.expected = expected or {}
        if file.fallback_uris and not file.expected:
            problems.add("checksums", "the file has fallback URIs, which need an expected checksum")
            problems.raise_if_any()
        if file.state == State.FAILED:
            make_pending(file)
        file.save()
        audit.file_event(actor, "amended", file, before, {"state": file.state, "expected": file.expected}).save()
    return file


def block(file_id: int, *, reason: str, actor: str) -> File:
    """Stop serving a present file, for ``reason``; its bytes are kept. Raises as retry, InvalidInputError."""
    problems = Problems()
    text = problems.collect("reason", _blocking_reason, reason)
    problems.raise_if_any()
    return _set_blocked(file_id, State.BLOCKED, text or "", "blocked", actor)


def unblock(file_id: int, *, actor: str) -> File:
    """Serve a blocked file again. Raises NotFoundError, ConflictError."""
    return _set_blocked(file_id, State.PRESENT, "", "unblocked", actor)


def blocks_revision() -> int:
    """Return a number that changes whenever something was blocked or unblocked."""
    return Revision.objects.filter(name=BLOCKS).values_list("value", flat=True).first() or 0


def _blocking_reason(text: str) -> str:
    return reason_text(text, "say why it must not be used; builds are shown the reason")


def _set_blocked(file_id: int, state: State, message: str, action: str, actor: str) -> File:
    with transaction.atomic():
        file = _locked(file_id)
        before = {"state": file.state, "message": file.message}
        if state is State.PRESENT and file.state != State.BLOCKED:
            text = f"{file.uri} is {file.state}, not blocked"
            raise ConflictError(text)
        file.state = check_moves(State(file.state), state)
        file.message = message
        file.save(update_fields=["state", "message"])
        Revision.objects.get_or_create(name=BLOCKS)
        Revision.objects.filter(name=BLOCKS).update(value=F("value") + 1)
        audit.file_event(actor, action, file, before, {"state": file.state, "message": message}).save()
    return file


def _locked(file_id: int) -> File:
    file = File.objects.select_for_update().filter(pk=file_id).first()
    if file is None:
        message = f"there is no file {file_id}"
        raise NotFoundError(message)
    return file
