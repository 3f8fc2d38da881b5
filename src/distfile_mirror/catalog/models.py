"""The tables of the catalog.

Times are UTC. Long texts that must be unique are unique by a digest of fixed size, because
databases limit what an index entry may hold.
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils import timezone

from distfile_mirror.model.states import State


class Project(models.Model):
    """What an artifact is used for: a product, a repository, a firmware."""

    name = models.TextField(unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Fetchable(models.Model):
    """What every kind of artifact has: its state, and its place in the downloaders' queue.

    ``due_at`` is when a downloader may claim the row: the time of the next attempt while pending,
    the end of the lease while fetching, NULL otherwise. So a lost lease needs no clean-up, and
    the queue is one index that holds only what is to be done.
    """

    state = models.TextField(default=State.PENDING.value, help_text="One of model.states.State.")
    message = models.TextField(default="", help_text="Why it failed, will be tried again, or is blocked.")
    due_at = models.DateTimeField(null=True, default=timezone.now)
    lease_owner = models.TextField(default="")
    attempts = models.IntegerField(default=0, help_text="Failed attempts since it was last made pending.")
    received_bytes = models.BigIntegerField(default=0)
    total_bytes = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class File(Fetchable):
    """A file identified by its URI.

    ``expected``: algorithm -> hex, what declarations promise. ``digests``: algorithm -> hex, what
    the stored bytes have. ``headers``: name -> value of upstream's answer, to be replayed.
    """

    uri = models.TextField()
    uri_key = models.BinaryField(max_length=32, unique=True, editable=False)
    host = models.TextField(db_index=True)
    expected = models.JSONField(default=dict)
    fallback_uris = models.JSONField(default=list)

    sha256 = models.TextField(default="", help_text="Of the stored bytes; empty while there are none.")
    size = models.BigIntegerField(null=True, help_text="In bytes.")
    digests = models.JSONField(default=dict)
    headers = models.JSONField(default=dict)
    final_uri = models.TextField(default="", help_text="Where the bytes came from after redirects.")
    fetched_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["due_at"], name="file_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["state", "id"], name="file_state"),
            models.Index(fields=["sha256"], name="file_sha256", condition=~Q(sha256="")),
        )

    def __str__(self) -> str:
        return self.uri


class Use(models.Model):
    """Who uses a file, for which project, why, under which licence.

    ``licence`` is an SPDX expression; empty where nobody knows. ``fingerprint`` makes the same
    use, declared again, no second row.
    """

    file = models.ForeignKey(File, on_delete=models.PROTECT, related_name="uses")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="uses")
    reason = models.TextField()
    licence = models.TextField(default="", db_index=True)
    declared_by = models.TextField()
    declared_at = models.DateTimeField(default=timezone.now)
    fingerprint = models.BinaryField(max_length=32, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["file", "fingerprint"], name="use_once"),)

    def __str__(self) -> str:
        return f"{self.project}: {self.reason}"


class AuditEvent(models.Model):
    """One change: who, when, what, from what to what. Rows are only ever added."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.TextField()
    action = models.TextField()
    subject_kind = models.TextField()
    subject_id = models.BigIntegerField()
    subject = models.TextField(help_text="The subject's name at that time.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        indexes = (models.Index(fields=["subject_kind", "subject_id", "id"], name="audit_subject"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; a second time is refused."""
        if self.pk is not None:
            _refuse_change()
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        _refuse_change()


class Revision(models.Model):
    """Counts the changes that take something away from proxies (block, unblock).

    Proxies keep what they looked up for as long as they like; they ask for this one number every
    second, and look again when it has moved.
    """

    name = models.TextField(primary_key=True)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


def _refuse_change() -> NoReturn:
    message = "audit events are only ever added"
    raise TypeError(message)
