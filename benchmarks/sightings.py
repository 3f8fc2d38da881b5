"""Invented sightings: what builds of a large catalog's projects got, and asked for in vain, and what upstreams said."""

from datetime import UTC, datetime, timedelta

from benchmarks.invented import PROJECTS, invented_file, project_name
from distfile_mirror.catalog.care_models import UpstreamCheck
from distfile_mirror.catalog.models import Growth, Hit, Miss, MissSource, Traffic
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.catalog.sightings import miss_key
from distfile_mirror.model.drift import Verdict
from distfile_mirror.model.misses import MissReason

SERVED_ONE_IN = 3
MISSES_ONE_IN = 10
GONE_ONE_IN = 5_000
BATCH = 5_000
DAYS = 365
HOURS = 24 * 30
# Far beyond those that are declared.
FIRST_MISSING = 10_000_000


def add_sightings(first_id: int, files: int) -> None:
    """Add hits, misses and checks of upstreams to a catalog of ``files`` that begin with the key ``first_id``."""
    now = datetime.now(UTC)
    hits = (_hit(first_id + number, now) for number in range(0, files, SERVED_ONE_IN))
    Hit.objects.bulk_create(hits, batch_size=BATCH)
    count = files // MISSES_ONE_IN
    Miss.objects.bulk_create((_miss(number, now) for number in range(count)), batch_size=BATCH)
    keys = Miss.objects.order_by("pk").values_list("pk", "last_at")
    MissSource.objects.bulk_create((_source(number, *row) for number, row in enumerate(keys)), batch_size=BATCH)
    hour = now.replace(minute=0, second=0, microsecond=0)
    Traffic.objects.bulk_create(
        Traffic(hour=hour - timedelta(hours=each), hits=900 + each % 300, misses=each % 40) for each in range(HOURS)
    )
    day = now.date()
    Growth.objects.bulk_create(
        Growth(day=day - timedelta(days=each), files=files // DAYS, stored_bytes=files // DAYS * 1024)
        for each in range(1, DAYS)
    )
    checks = (_check(first_id + number, now) for number in range(files))
    UpstreamCheck.objects.bulk_create(checks, batch_size=BATCH)


def _check(file_id: int, now: datetime) -> UpstreamCheck:
    at = now - timedelta(minutes=file_id % 10_000)
    verdict = Verdict.SAME if file_id % GONE_ONE_IN else Verdict.GONE
    return UpstreamCheck(file_id=file_id, verdict=verdict, checked_at=at, since=at)


def _label(number: int) -> str:
    return project_name(number * 7 % PROJECTS) if number % 4 else ""


def _hit(file_id: int, now: datetime) -> Hit:
    at = now - timedelta(minutes=file_id % 200_000)
    kind = ArtifactKind.FILE.value
    return Hit(kind=kind, artifact_id=file_id, label=_label(file_id), count=file_id % 50, first_at=at, last_at=at)


def _miss(number: int, now: datetime) -> Miss:
    file = invented_file(FIRST_MISSING + number)
    at = now - timedelta(minutes=number % 50_000)
    reasons = list(MissReason)
    return Miss(
        key=miss_key(ArtifactKind.FILE, file.uri),
        kind=ArtifactKind.FILE.value,
        name=file.uri,
        host=file.host,
        reason=reasons[number % len(reasons)],
        count=number % 90 + 1,
        first_at=at - timedelta(days=1),
        last_at=at,
    )


def _source(number: int, miss_id: int, last_at: datetime) -> MissSource:
    client = f"10.0.{number % 7}.{number % 250}"
    reason = MissReason.NOT_DECLARED.value
    return MissSource(
        miss_id=miss_id,
        label=_label(number),
        client=client,
        reason=reason,
        count=1,
        first_at=last_at,
        last_at=last_at,
    )
