"""Approval: what a declarer declared is fetched once somebody who may says so, or rejected for a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import transaction

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, File, Image
from distfile_mirror.catalog.moderate import locked, make_pending, reason_text
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import ConflictError, NotFoundError
from distfile_mirror.model.states import State, check_moves

AWAITING = frozenset({State.REQUESTED, State.REJECTED})
MAX_WAITING = 200

Artifact = TypeVar("Artifact", File, Image)


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one of many: ``problem`` is empty if it went well."""

    kind: str
    number: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for approval, oldest first, and how many there are in all."""

    files: Sequence[File]
    images: Sequence[Image]
    count: int


def approve(kind: type[Artifact], artifact_id: int, *, actor: str) -> Artifact:
    """Let a requested artifact be fetched. Raises NotFoundError, ConflictError."""
    with transaction.atomic():
        artifact = locked(kind, artifact_id)
        _check_requested(artifact)
        event = approval(artifact, actor)
        artifact.save()
        event.save()
    return artifact


def reject(kind: type[Artifact], artifact_id: int, *, reason: str, actor: str) -> Artifact:
    """Refuse a requested artifact; its declarers are shown the reason. Raises as approve, InvalidInputError."""
    text = _checked_reason(reason)
    with transaction.atomic():
        artifact = locked(kind, artifact_id)
        _check_requested(artifact)
        before = {"state": artifact.state}
        artifact.state = check_moves(State(artifact.state), State.REJECTED)
        artifact.message = text
        artifact.save()
        after = {"state": artifact.state, "message": text}
        audit.event(actor, "rejected", artifact, before, after).save()
    return artifact


def decide_many(files: Sequence[int], images: Sequence[int], *, reason: str | None, actor: str) -> list[Decided]:
    """Approve each, or, with a ``reason``, reject each; one that cannot be does not stop the others.

    Raises:
        InvalidInputError: for a reason that is empty.
        UnavailableError: if the database does not answer.
    """
    if reason is not None:
        _checked_reason(reason)
    return [
        *(_decide(File, number, reason, actor) for number in dict.fromkeys(files)),
        *(_decide(Image, number, reason, actor) for number in dict.fromkeys(images)),
    ]


def approval(artifact: File | Image, actor: str) -> AuditEvent:
    """Put an artifact that was requested, or rejected, into the queue; return the event. Neither is saved."""
    before = {"state": artifact.state, "message": artifact.message}
    make_pending(artifact)
    return audit.event(actor, "approved", artifact, before, {"state": artifact.state})


def first_state(*, approved: bool) -> dict[str, Any]:
    """Return the fields with which a new artifact begins."""
    return {} if approved else {"state": State.REQUESTED, "due_at": None}


def redeclared(artifact: File | Image, actor: str, *, approved: bool) -> list[AuditEvent]:
    """Return the events of a further declaration of what was requested or rejected; the artifact is not saved.

    Raises:
        ConflictError: where it was rejected, and whoever declares it may not approve.
    """
    if artifact.state not in AWAITING:
        return []
    if approved:
        return [approval(artifact, actor)]
    if artifact.state == State.REJECTED:
        message = f"this was rejected: {artifact.message}; somebody who may approve can declare it after all"
        raise ConflictError(message)
    return []


def list_waiting() -> Waiting:
    """Return what waits for approval. Raises UnavailableError."""
    with available():
        uses = ("uses__project",)
        files = File.objects.filter(state=State.REQUESTED).order_by("pk")
        images = Image.objects.filter(state=State.REQUESTED).order_by("pk").select_related("repository__registry")
        return Waiting(
            list(files.prefetch_related(*uses)[:MAX_WAITING]),
            list(images.prefetch_related(*uses)[:MAX_WAITING]),
            files.count() + images.count(),
        )


def _decide(kind: type[Artifact], number: int, reason: str | None, actor: str) -> Decided:
    name = audit.kind_name(kind)
    try:
        if reason is None:
            approve(kind, number, actor=actor)
        else:
            reject(kind, number, reason=reason, actor=actor)
    except (ConflictError, NotFoundError) as error:
        return Decided(name, number, str(error))
    return Decided(name, number)


def _check_requested(artifact: File | Image) -> None:
    if artifact.state != State.REQUESTED:
        message = f"{artifact} is {artifact.state}; only what is requested can be approved or rejected"
        raise ConflictError(message)


def _checked_reason(text: str) -> str:
    problems = Problems()
    reason = problems.collect("reason", lambda given: reason_text(given, "say why; its declarers are shown it"), text)
    problems.raise_if_any()
    return reason or ""
