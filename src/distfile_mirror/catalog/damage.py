"""Blobs whose bytes are missing or wrong: marked, not served, and repaired if the same bytes can be had again."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.care_models import DamagedBlob
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Image, ManifestBlob
from distfile_mirror.catalog.moderate import move_revision
from distfile_mirror.catalog.queue import Claim
from distfile_mirror.model.damage import Problem

# A file or an image more or less is in its history; beyond these the list of damages has it.
MOST_EVENTS = 50
MOST_SOURCES = 5


@dataclass(frozen=True, slots=True)
class KnownBlob:
    """A blob that must be in the store. ``size`` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class BlobTotals:
    """All blobs that must be in the store. ``size`` of all together, in bytes."""

    blobs: int
    size: int


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """Where a blob of an image can be had: ``digest`` as its manifest has it, ``size`` in bytes."""

    registry: str
    repository: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Repair:
    """A blob to be had again, and who may have it: files as they are claimed, with this sha256 expected."""

    sha256: str
    attempts: int
    files: tuple[Claim, ...]
    registries: tuple[RegistrySource, ...]


def next_blobs(after: str, limit: int) -> list[KnownBlob]:
    """Return up to ``limit`` blobs of files and images that follow the sha256 ``after``. Raises UnavailableError."""
    found: dict[str, int] = {}
    with available():
        # As the index's own condition has it, so that databases take it.
        files = File.objects.exclude(sha256="").filter(sha256__gt=after).order_by("sha256")
        blobs = ManifestBlob.objects.filter(sha256__gt=after).order_by("sha256")
        # One content may have many rows.
        for rows in (files, blobs):
            for sha256, size in rows.values_list("sha256", "size").distinct()[:limit]:
                found.setdefault(sha256, size or 0)
    return [KnownBlob(sha256, found[sha256]) for sha256 in sorted(found)[:limit]]


def count_blobs() -> BlobTotals:
    """Return how many ``next_blobs`` has from beginning to end. It reads whole tables. Raises UnavailableError."""
    files = "SELECT sha256, COALESCE(size, 0) AS size FROM catalog_file WHERE sha256 <> ''"
    parts = "SELECT sha256, size FROM catalog_manifestblob WHERE sha256 <> ''"
    with available(), connection.cursor() as cursor:
        # UNION has each once. Django adds up no unions.
        cursor.execute(f"SELECT COUNT(*), COALESCE(SUM(size), 0) FROM ({files} UNION {parts}) AS blobs")  # noqa: S608
        blobs, size = cursor.fetchone()
    return BlobTotals(blobs, int(size))


def record_damage(sha256: str, problem: Problem, message: str, *, actor: str) -> bool:
    """Mark a blob as damaged: it is not served, and its repair is due. Return whether that is news.

    Raises:
        UnavailableError: if the database does not answer.
    """
    with available(), transaction.atomic():
        row, created = DamagedBlob.objects.select_for_update().get_or_create(
            sha256=sha256, defaults={"problem": problem.value, "message": message}
        )
        if not created and row.repaired_at is None:
            return False
        if not created:
            row.problem, row.message, row.found_at = problem.value, message, timezone.now()
            row.repaired_at, row.due_at, row.attempts = None, timezone.now(), 0
            row.save()
        _tell(sha256, "found damaged", {"problem": problem.value, "message": message}, actor)
        move_revision()
    return True


def record_repair(sha256: str, *, actor: str, source: str) -> None:
    """Mark a blob as whole again, which came from ``source``. Raises UnavailableError."""
    with available(), transaction.atomic():
        rows = DamagedBlob.objects.filter(sha256=sha256, repaired_at__isnull=True)
        if rows.update(repaired_at=timezone.now(), due_at=None, message=f"repaired from {source}"):
            _tell(sha256, "repaired", {"source": source}, actor)
            move_revision()


def record_failed_repair(sha256: str, message: str, *, again_in: timedelta) -> None:
    """Note why a repair did not work; it is due again after ``again_in``. Raises UnavailableError."""
    with available():
        rows = DamagedBlob.objects.filter(sha256=sha256, repaired_at__isnull=True)
        rows.update(message=message, due_at=timezone.now() + again_in, attempts=F("attempts") + 1)


def claim_repairs(*, of_images: bool, limit: int, lease: timedelta) -> list[Repair]:
    """Claim up to ``limit`` repairs that are due, of what files have, or what only images have.

    Nobody else is given them for the time of ``lease``. Raises UnavailableError.
    """
    now = timezone.now()
    with available(), transaction.atomic():
        files = File.objects.exclude(sha256="").values("sha256")
        rows = DamagedBlob.objects.filter(due_at__lte=now, repaired_at__isnull=True)
        rows = rows.exclude(sha256__in=files) if of_images else rows.filter(sha256__in=files)
        rows = rows.order_by("due_at").select_for_update(
            skip_locked=connection.features.has_select_for_update_skip_locked
        )
        found = list(rows.values_list("sha256", "attempts")[:limit])
        DamagedBlob.objects.filter(sha256__in=[sha256 for sha256, _ in found]).update(due_at=now + lease)
        return [_repair(sha256, attempts) for sha256, attempts in found]


def keep_repairs(sha256s: Collection[str], *, lease: timedelta) -> None:
    """Let nobody else be given these repairs, which go on, for the time of ``lease``. Raises UnavailableError."""
    with available():
        rows = DamagedBlob.objects.filter(sha256__in=sha256s, repaired_at__isnull=True)
        rows.update(due_at=timezone.now() + lease)


def damaged_blobs(limit: int) -> list[DamagedBlob]:
    """Return blobs that are damaged now, the latest first. Raises UnavailableError."""
    with available():
        return list(DamagedBlob.objects.filter(repaired_at__isnull=True).order_by("-found_at")[:limit])


def count_damaged() -> dict[str, int]:
    """Return how many blobs are damaged now, by problem. Raises UnavailableError."""
    counted = dict.fromkeys((problem.value for problem in Problem), 0)
    with available():
        for problem in DamagedBlob.objects.filter(repaired_at__isnull=True).values_list("problem", flat=True):
            counted[problem] += 1
    return counted


def _repair(sha256: str, attempts: int) -> Repair:
    files = File.objects.filter(sha256=sha256).order_by("pk")
    columns = ("pk", "uri", "host", "fallback_uris")
    claims = tuple(
        Claim(row_id, uri, host, {"sha256": sha256}, fallback_uris, 0)
        for row_id, uri, host, fallback_uris in files.values_list(*columns)[:MOST_SOURCES]
    )
    blobs = ManifestBlob.objects.filter(sha256=sha256).order_by("pk")
    names = ("manifest__repository__registry__name", "manifest__repository__name", "digest", "size")
    registries = tuple(RegistrySource(*facts) for facts in blobs.values_list(*names)[:MOST_SOURCES])
    return Repair(sha256, attempts, claims, registries)


def _tell(sha256: str, action: str, after: dict[str, str], actor: str) -> None:
    """Write it into the history of each file and image that has the blob."""
    after = {"sha256": sha256, **after}
    artifacts: Iterable[File | Image] = [
        *File.objects.filter(sha256=sha256)[:MOST_EVENTS],
        *Image.objects.filter(parts__manifest__blobs__sha256=sha256).distinct()[:MOST_EVENTS],
    ]
    for artifact in artifacts:
        audit.event(actor, action, artifact, {}, dict(after)).save()
