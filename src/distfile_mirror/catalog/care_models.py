"""The tables of what is done for stored artifacts: their bytes are read again, and their upstreams asked after.

All of them came with a later migration than the rest; where that has not run yet, ``care.is_ready`` says so,
and everything else works as before (ADR 0015).
"""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from distfile_mirror.catalog.models import File


class DamagedBlob(models.Model):
    """A blob whose bytes are missing or wrong in the store, or were until ``repaired_at``.

    ``due_at``: when its repair is tried next; NULL once it is repaired.
    """

    sha256 = models.TextField(primary_key=True)
    problem = models.TextField(help_text="One of model.damage.Problem.")
    message = models.TextField()
    found_at = models.DateTimeField(default=timezone.now)
    repaired_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, default=timezone.now)
    attempts = models.IntegerField(default=0)

    class Meta:
        app_label = "catalog"
        indexes = (models.Index(fields=["due_at"], name="damage_due", condition=Q(due_at__isnull=False)),)

    def __str__(self) -> str:
        return f"{self.problem} {self.sha256}"


class Round(models.Model):
    """How far going through everything stored has come: reading blobs again, asking upstreams.

    ``position``: of the last one that was looked at. ``owner`` goes this round until ``lease_until``: one at a time.
    """

    name = models.TextField(primary_key=True)
    position = models.TextField(default="")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True, help_text="Of the last whole round.")
    looked_at = models.BigIntegerField(default=0, help_text="In this round.")
    read_bytes = models.BigIntegerField(default=0)
    found = models.BigIntegerField(default=0, help_text="What is not as it should be, in this round.")
    owner = models.TextField(default="")
    lease_until = models.DateTimeField(null=True)

    class Meta:
        app_label = "catalog"

    def __str__(self) -> str:
        return f"{self.name}: {self.looked_at} looked at, {self.found} found"


class UpstreamCheck(models.Model):
    """What a file's upstream said when it was asked last."""

    file = models.OneToOneField(File, on_delete=models.PROTECT, primary_key=True, related_name="upstream_check")
    verdict = models.TextField(help_text="One of model.drift.Verdict.")
    message = models.TextField(default="")
    checked_at = models.DateTimeField(default=timezone.now)
    since = models.DateTimeField(default=timezone.now, help_text="Since when the verdict is what it is.")

    class Meta:
        app_label = "catalog"
        indexes = (
            models.Index(
                fields=["verdict", "-since"], name="upstream_verdict", condition=~Q(verdict__in=["same", "unknown"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.file_id}: {self.verdict}"
