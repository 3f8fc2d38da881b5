"""Writes audit events, in the transaction of the change that they tell of."""

from typing import Any

from distfile_mirror.catalog.models import AuditEvent, File, Image

_NAMES: dict[type[File | Image], str] = {File: "file", Image: "image"}


def kind_name(kind: type[File | Image]) -> str:
    """Return how events, and people, name such an artifact."""
    return _NAMES[kind]


def event(
    actor: str,
    action: str,
    artifact: File | Image,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEvent:
    """Make (not save) the event of a change to ``artifact``; ``action`` is a past participle."""
    return AuditEvent(
        actor=actor,
        action=action,
        subject_kind=kind_name(type(artifact)),
        subject_id=artifact.pk,
        subject=str(artifact),
        before=before or {},
        after=after or {},
    )
