"""What is known of stored artifacts since they were stored: damage, and what their upstreams say now."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from distfile_mirror.catalog.care import is_ready
from distfile_mirror.catalog.care_models import DamagedBlob, Round, UpstreamCheck
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File
from distfile_mirror.errors import InvalidInputError
from distfile_mirror.model.drift import DRIFTED, NOT_DRIFTED

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Care:
    """Of one file: ``damage`` if its bytes are damaged now; ``upstream`` if it was asked since."""

    damage: DamagedBlob | None = None
    upstream: UpstreamCheck | None = None


@dataclass(frozen=True, slots=True)
class Worries:
    """What somebody should look at, the latest first: damaged blobs, files whose upstream changed or is gone."""

    damaged: list[DamagedBlob]
    drifted: list[UpstreamCheck]


def care_of(files: Iterable[File]) -> dict[int, Care]:
    """Return it for each of ``files``, by key. Raises UnavailableError."""
    files = list(files)
    if not is_ready():
        return {file.pk: Care() for file in files}
    with available():
        checks = UpstreamCheck.objects.in_bulk([file.pk for file in files])
        digests = {file.sha256 for file in files if file.sha256}
        damaged = DamagedBlob.objects.filter(repaired_at__isnull=True).in_bulk(digests)
    return {file.pk: Care(damaged.get(file.sha256), checks.get(file.pk)) for file in files}


def worries() -> Worries:
    """Return what there is. Raises UnavailableError."""
    if not is_ready():
        return Worries([], [])
    with available():
        damaged = DamagedBlob.objects.filter(repaired_at__isnull=True).order_by("-found_at")
        drifted = _drifted().select_related("file").order_by("-since")
        return Worries(list(damaged[:SHOWN]), list(drifted[:SHOWN]))


def rounds() -> list[Round]:
    """Return where the rounds through all that is stored stand. Raises UnavailableError."""
    if not is_ready():
        return []
    with available():
        return list(Round.objects.order_by("name"))


def with_verdict(rows: QuerySet[File], verdict: str) -> QuerySet[File]:
    """Return those of ``rows`` whose upstream says so; all if it is empty. Raises InvalidInputError."""
    if not verdict:
        return rows
    if verdict not in DRIFTED:
        known = ", ".join(sorted(DRIFTED))
        raise InvalidInputError(
            {"upstream": [f"{verdict!r} is nothing that upstreams are found to be; known: {known}"]}
        )
    if not is_ready():
        return rows.none()
    return rows.filter(pk__in=_drifted().filter(verdict=verdict).values("file_id"))


def _drifted() -> QuerySet[UpstreamCheck]:
    """Return the few among the very many, by the index that has no others.

    Its own condition, word for word: SQLite does not see that parameters mean the same.
    """
    condition = "NOT (verdict IN ({}))".format(", ".join(f"'{verdict}'" for verdict in NOT_DRIFTED))
    return UpstreamCheck.objects.filter(RawSQL(condition, (), output_field=BooleanField()))  # noqa: S611 - our words
