"""Writes audit events, in the transaction of the change that they tell of."""

from typing import Any

from distfile_mirror.catalog.models import AuditEvent, File

FILE = "file"


def file_event(
    actor: str, action: str, file: File, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> AuditEvent:
    """Make (not save) the event of a change to ``file``; ``action`` is a past participle."""
    return AuditEvent(
        actor=actor,
        action=action,
        subject_kind=FILE,
        subject_id=file.pk,
        subject=file.uri,
        before=before or {},
        after=after or {},
    )
