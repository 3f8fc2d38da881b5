"""What the home page shows: how much there is, what goes on, and how it went over time."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Sum
from django.utils import timezone

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File, Growth, Image, Project, Traffic
from distfile_mirror.model.states import State

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Totals:
    """What is stored. ``stored_bytes``: what several artifacts share counts for each."""

    files: int
    images: int
    stored_bytes: int
    projects: int


def totals() -> Totals:
    """Return how much is stored. Raises UnavailableError."""
    with available():
        sums = Growth.objects.aggregate(files=Sum("files"), images=Sum("images"), stored_bytes=Sum("stored_bytes"))
        return Totals(**{name: value or 0 for name, value in sums.items()}, projects=Project.objects.count())


def in_state(state: State) -> tuple[list[File], list[Image]]:
    """Return the latest files and images in ``state``. Raises UnavailableError."""
    with available():
        images = Image.objects.filter(state=state).select_related("repository__registry").order_by("-pk")
        return list(File.objects.filter(state=state).order_by("-pk")[:SHOWN]), list(images[:SHOWN])


def growth(days: int) -> list[tuple[date, int, int]]:
    """Return day, artifacts and bytes stored by then, of the last ``days``. Raises UnavailableError."""
    with available():
        rows = list(Growth.objects.order_by("day").values_list("day", "files", "images", "stored_bytes"))
    first = timezone.now().date() - timedelta(days=days - 1)
    by_day = {day: (files + images, size) for day, files, images, size in rows}
    artifacts = sum(count for day, (count, _size) in by_day.items() if day < first)
    stored = sum(size for day, (_count, size) in by_day.items() if day < first)
    found = []
    for number in range(days):
        day = first + timedelta(days=number)
        count, size = by_day.get(day, (0, 0))
        artifacts, stored = artifacts + count, stored + size
        found.append((day, artifacts, stored))
    return found


def traffic(hours: int) -> list[tuple[datetime, int, int]]:
    """Return hour, hits and misses, of the last ``hours``, the present one included. Raises UnavailableError."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    first = now - timedelta(hours=hours - 1)
    with available():
        rows = Traffic.objects.filter(hour__gte=first).values_list("hour", "hits", "misses")
        by_hour = {hour: (hits, misses) for hour, hits, misses in rows}
    moments = [first + timedelta(hours=number) for number in range(hours)]
    return [(moment, *by_hour.get(moment, (0, 0))) for moment in moments]
