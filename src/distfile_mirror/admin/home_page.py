"""The first page: how much there is, what goes on, what failed, what was asked for in vain."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from distfile_mirror.admin.charts import Series, bar_chart, line_chart
from distfile_mirror.admin.pages import example_command
from distfile_mirror.catalog.care_listing import worries
from distfile_mirror.catalog.misses import MissFilters, count_open_since, list_misses
from distfile_mirror.catalog.overview import growth, in_state, totals, traffic
from distfile_mirror.model.sizes import size_in_words
from distfile_mirror.model.states import State

SHOWN_MISSES = 10
GROWTH_DAYS = 90
TRAFFIC_HOURS = 48
BUSY_SECONDS, IDLE_SECONDS = 2, 15


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show it; a search goes on to the files, where it used to be."""
    if request.GET.get("q"):
        return redirect(f"/files?{request.GET.urlencode()}")
    fetching_files, fetching_images = in_state(State.FETCHING)
    failed_files, failed_images = in_state(State.FAILED)
    since = timezone.now() - timedelta(days=1)
    shown = {
        "totals": totals(),
        "fetching": [*fetching_files, *fetching_images],
        "failed": [*failed_files, *failed_images],
        "misses": list_misses(MissFilters(since=since), limit=SHOWN_MISSES).items,
        "missing": count_open_since(since),
        "every": BUSY_SECONDS if fetching_files or fetching_images else IDLE_SECONDS,
        "command": example_command(),
        "worries": worries(),
        **_charts(),
    }
    return render(request, "mirror/home.html", shown)


def _charts() -> dict[str, Any]:
    days = growth(GROWTH_DAYS)
    hours = traffic(TRAFFIC_HOURS)
    names = [f"{day:%b %d}" for day, _count, _size in days]
    stored = Series("bytes", "present", [size for _day, _count, size in days])
    hits = Series("served", "present", [hits for _hour, hits, _misses in hours])
    misses = Series("asked for in vain", "failed", [misses for _hour, _hits, misses in hours])
    return {
        "growth": line_chart("Stored, by day", names, [stored], write=size_in_words),
        "traffic": bar_chart("Requests, by hour (UTC)", [f"{hour:%b %d, %H:00}" for hour, *_ in hours], [hits, misses]),
    }
