"""What upstreams say of files that are stored here: nothing that is stored is touched by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.care_models import UpstreamCheck
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File
from distfile_mirror.model.drift import DRIFTED, Verdict


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file whose upstream is to be asked. ``size`` in bytes; ``headers`` as upstream once sent them."""

    row_id: int
    uri: str
    size: int
    headers: Mapping[str, str]


def has_any(*, stored_for: timedelta) -> bool:
    """Tell whether any file has been stored for so long. Raises UnavailableError."""
    with available():
        return File.objects.filter(fetched_at__lte=timezone.now() - stored_for, size__isnull=False).exists()


def next_file(after: int, *, stored_for: timedelta = timedelta(0)) -> StoredFile | None:
    """Return the file that follows the key ``after`` and has been stored for so long. Raises UnavailableError."""
    with available():
        rows = File.objects.filter(pk__gt=after, size__isnull=False).order_by("pk")
        if stored_for:
            rows = rows.filter(fetched_at__lte=timezone.now() - stored_for)
        found = rows.values_list("pk", "uri", "size", "headers").first()
    if found is None:
        return None
    row_id, uri, size, headers = found
    return StoredFile(row_id, uri, size or 0, headers)


def record_verdict(file_id: int, verdict: Verdict, message: str, *, actor: str) -> None:
    """Write what upstream said; what is news about a file goes into its history. Raises UnavailableError."""
    now = timezone.now()
    with available(), transaction.atomic():
        row = UpstreamCheck.objects.select_for_update().filter(file_id=file_id).first()
        before = Verdict(row.verdict) if row else None
        if verdict is Verdict.UNKNOWN and before in DRIFTED:
            verdict, message = Verdict(row.verdict), row.message  # type: ignore[union-attr]
        since = row.since if row and before == verdict else now
        UpstreamCheck.objects.update_or_create(
            file_id=file_id,
            defaults={"verdict": verdict.value, "message": message, "checked_at": now, "since": since},
        )
        if before != verdict and (verdict in DRIFTED or before in DRIFTED):
            file = File.objects.get(pk=file_id)
            told = {"upstream": verdict.value, "message": message}
            audit.event(actor, "upstream found " + verdict.value, file, {"upstream": before or ""}, told).save()


def count_drifted() -> dict[str, int]:
    """Return how many files have an upstream that changed or is gone, by verdict. Raises UnavailableError."""
    with available():
        return {
            verdict.value: UpstreamCheck.objects.filter(verdict=verdict.value).count()
            for verdict in Verdict
            if verdict in DRIFTED
        }
