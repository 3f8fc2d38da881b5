"""For machines that watch: ``/health`` and ``/metrics`` (Prometheus)."""

from collections.abc import Callable, Iterable, Mapping

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Counter, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from distfile_mirror.admin.queries import backlog
from distfile_mirror.admin.settings import current_context
from distfile_mirror.catalog import database
from distfile_mirror.catalog.audit import kind_name
from distfile_mirror.catalog.image_listing import stored_image_bytes
from distfile_mirror.catalog.listing import count_by_state
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.errors import MirrorError, UnavailableError
from distfile_mirror.model.states import State

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
    yield _by_state("distfile_mirror_files", "Files in the catalog, by state.", count_by_state(File))
    yield _by_state("distfile_mirror_images", "Container images in the catalog, by state.", count_by_state(Image))
    text = "Bytes of the images that are stored; what several share is counted for each."
    yield GaugeMetricFamily("distfile_mirror_images_bytes", text, value=stored_image_bytes())
    for kind, infix in ((File, ""), (Image, "image_")):
        name = kind_name(kind)
        due = backlog(kind)
        text = f"{name.capitalize()}s whose download is due."
        yield GaugeMetricFamily(f"distfile_mirror_queue_due_{name}s", text, value=due.rows)
        yield GaugeMetricFamily(
            f"distfile_mirror_queue_oldest_due_{infix}seconds",
            f"For how long the {name} that waits longest has been due, in seconds.",
            value=due.oldest_seconds,
        )


def _by_state(name: str, text: str, counted: Mapping[State, int]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=["state"])
    for state, count in counted.items():
        metric.add_metric([state.value], count)
    return metric


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
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _failure(check: Callable[[], None]) -> str:
    try:
        check()
    except MirrorError as error:
        return str(error)
    return ""
