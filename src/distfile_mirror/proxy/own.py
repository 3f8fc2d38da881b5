"""What the proxy answers about itself: what it is, the CA's certificate, health and metrics."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from distfile_mirror.errors import MirrorError
from distfile_mirror.proxy.pages import Page, error_page, home_page, render

CA_METRIC = "distfile_mirror_ca_not_after_seconds"
CA_METRIC_TEXT = "When the CA's certificate ends (Unix time)."
# Status, header lines, body.
Answer = tuple[int, bytes, bytes]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """What clients are to trust, in the forms that they take; the CA's fingerprint, and its end in Unix time."""

    pem: bytes
    der: bytes
    java: bytes
    fingerprint: str
    not_after: float


class OwnAnswers(Collector):
    """Answers by path. ``checks``: name -> what raises MirrorError when that part does not answer."""

    def __init__(
        self,
        *,
        anchors: TrustAnchors,
        admin_url: str,
        proxy_url: str,
        checks: dict[str, Callable[[], None]],
        registry: CollectorRegistry,
        executor: Executor,
        call_soon: Callable[..., object],
    ) -> None:
        self._checks = checks
        self._registry = registry
        self._executor = executor
        self._call_soon = call_soon
        self._addresses = admin_url, proxy_url
        self.use(anchors)
        registry.register(self)

    def use(self, anchors: TrustAnchors) -> None:
        """Offer ``anchors`` from now on."""
        self._not_after = anchors.not_after
        lines, body = render(home_page(*self._addresses, anchors.fingerprint), html=True)
        self._ready: dict[str, Answer] = {
            "/": (200, lines, body),
            "/ca.pem": _download("application/x-pem-file", "distfile-mirror-ca.pem", anchors.pem),
            "/ca.der": _download("application/x-x509-ca-cert", "distfile-mirror-ca.der", anchors.der),
            "/ca.p12": _download("application/x-pkcs12", "distfile-mirror-ca.p12", anchors.java),
        }

    def collect(self) -> Iterator[Metric]:
        """Yield the metric of the CA."""
        yield GaugeMetricFamily(CA_METRIC, CA_METRIC_TEXT, value=self._not_after)

    def answer(self, path: str, then: Callable[[Answer], object]) -> None:
        """Call ``then`` with the answer to ``path``, at once if nothing must be asked for it."""
        if path in self._ready:
            then(self._ready[path])
        elif path == "/health":
            self._executor.submit(self._in_thread, self._health, then)
        elif path == "/metrics":
            self._executor.submit(self._in_thread, self._metrics, then)
        else:
            then(_page(error_page(404, f"there is nothing at {path} on the proxy itself; see /")))

    def _in_thread(self, make: Callable[[], Answer], then: Callable[[Answer], object]) -> None:
        try:
            result = make()
        except Exception:
            log.exception("an own page failed")
            result = _page(error_page(500, "this failed; the log of the proxy says why"))
        self._call_soon(then, result)

    def _health(self) -> Answer:
        problems = []
        for name, check in self._checks.items():
            try:
                check()
            except MirrorError as error:
                problems.append(f"{name}: {error}")
        if problems:
            return _page(Page(503, "not healthy", tuple(problems), headers={"Retry-After": "5"}))
        return _page(Page(200, "ok", ()))

    def _metrics(self) -> Answer:
        body = generate_latest(self._registry)
        return 200, f"Content-Type: {CONTENT_TYPE_LATEST}\r\n".encode(), body


def _page(page: Page) -> Answer:
    return (page.status, *render(page, html=False))


def _download(content_type: str, name: str, content: bytes) -> Answer:
    return 200, f'Content-Type: {content_type}\r\nContent-Disposition: inline; filename="{name}"\r\n'.encode(), content
