"""For machines that watch: ``/health`` and ``/metrics`` (Prometheus)."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Counter, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from distfile_mirror.admin.neighbours import NeighbourCollector
from distfile_mirror.admin.queries import backlog
from distfile_mirror.admin.settings import current_context
from distfile_mirror.catalog import database
from distfile_mirror.catalog.audit import kind_name
from distfile_mirror.catalog.care import is_ready
from distfile_mirror.catalog.care_listing import rounds
from distfile_mirror.catalog.damage import count_damaged
from distfile_mirror.catalog.drift import count_drifted
from distfile_mirror.catalog.image_listing import stored_image_bytes
from distfile_mirror.catalog.listing import count_by_state
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.errors import MirrorError, UnavailableError

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "distfile_mirror_admin_requests",
    "Requests that the admin answered, by method and class of status.",
    ["method", "status"],
    registry=REGISTRY,
)


class CatalogCollector:
    """Counts files, images and what is due, at the moment of the scrape."""

    def collect(self) -> Iterable[Metric]:
        """Yield the figures; with the database away only that it is away."""
        up = GaugeMetricFamily("distfile_mirror_database_up", "1 if the database answered this scrape.")
        try:
            found = list(_catalog_metrics())
        except UnavailableError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found

    def describe(self) -> Iterable[Metric]:
        """Yield nothing: registering must not ask the database."""
        return ()


def _catalog_metrics() -> Iterable[Metric]:
    artifacts = GaugeMetricFamily(
        "distfile_mirror_artifacts", "Files and container images in the catalog, by state.", labels=["kind", "state"]
    )
    due = GaugeMetricFamily("distfile_mirror_queue_due", "Artifacts whose download is due.", labels=["kind"])
    oldest = GaugeMetricFamily(
        "distfile_mirror_queue_oldest_due_seconds",
        "For how long the one that waits longest has been due, in seconds.",
        labels=["kind"],
    )
    for name, counted, waiting in (
        (kind_name(File), count_by_state(File), backlog(File)),
        (kind_name(Image), count_by_state(Image), backlog(Image)),
    ):
        for state, count in counted.items():
            artifacts.add_metric([name, state.value], count)
        due.add_metric([name], waiting.rows)
        oldest.add_metric([name], waiting.oldest_seconds)
    yield from (artifacts, due, oldest)
    text = "Bytes of the images that are stored; what several share is counted for each."
    yield GaugeMetricFamily("distfile_mirror_images_bytes", text, value=stored_image_bytes())
    if is_ready():
        yield from _care_metrics()


def _care_metrics() -> Iterable[Metric]:
    damaged = GaugeMetricFamily(
        "distfile_mirror_damaged_blobs", "Blobs that are damaged now and not served.", labels=["problem"]
    )
    for problem, count in count_damaged().items():
        damaged.add_metric([problem], count)
    yield damaged
    drifted = GaugeMetricFamily(
        "distfile_mirror_drifted_files", "Stored files whose upstream changed or is gone.", labels=["verdict"]
    )
    for verdict, count in count_drifted().items():
        drifted.add_metric([verdict], count)
    yield drifted
    looked_at = GaugeMetricFamily(
        "distfile_mirror_round_looked_at",
        "Blobs read again, or upstreams asked, in the round under way or the last one.",
        labels=["round"],
    )
    started = GaugeMetricFamily(
        "distfile_mirror_round_started_timestamp_seconds",
        "When the round under way or the last one was begun (Unix time); 0 if none was.",
        labels=["round"],
    )
    finished = GaugeMetricFamily(
        "distfile_mirror_round_finished_timestamp_seconds",
        "When the last whole round was finished (Unix time); 0 if none was.",
        labels=["round"],
    )
    for each in rounds():
        looked_at.add_metric([each.name], each.looked_at)
        started.add_metric([each.name], _unix(each.started_at))
        finished.add_metric([each.name], _unix(each.finished_at))
    yield from (looked_at, started, finished)


def _unix(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0


ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
REGISTRY.register(CatalogCollector())


@require_safe
def health(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database and the blob store answer, else 503 saying which does not."""
    failures = {}
    for name, check in (("database", database.check), ("blob_store", current_context().check_blobs)):
        if problem := _failure(check):
            failures[name] = problem
    if failures:
        return JsonResponse({"status": "failing", "failures": failures}, status=503)
    return JsonResponse({"status": "ok"})


@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """Answer a scrape."""
    text = generate_latest(REGISTRY)
    if folder := current_context().metrics_dir:
        neighbours = CollectorRegistry(auto_describe=False)
        neighbours.register(NeighbourCollector(folder))
        text += generate_latest(neighbours)
    return HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _failure(check: Callable[[], None]) -> str:
    try:
        check()
    except MirrorError as error:
        return str(error)
    return ""
