"""What downloaders count, for Prometheus. Whoever starts one says where it is told (see wiring.metrics)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
DOWNLOADS = Counter(
    "distfile_mirror_downloads",
    "Downloads that ended: fetched, failed (for good), to_be_retried, released (interrupted).",
    ["kind", "result"],
    registry=REGISTRY,
)
ACTIVE = Gauge("distfile_mirror_downloads_active", "Downloads under way.", ["kind"], registry=REGISTRY)
DOWNLOADED = Counter(
    "distfile_mirror_downloaded_bytes", "Bytes of artifacts that were fetched and stored.", ["kind"], registry=REGISTRY
)
DURATION = Histogram(
    "distfile_mirror_download_duration_seconds",
    "From the first question to upstream until the artifact is stored.",
    ["kind"],
    buckets=(0.1, 0.5, 2.5, 10, 60, 300, 1800),
    registry=REGISTRY,
)
REPAIRS = Counter(
    "distfile_mirror_repairs", "Damaged blobs that were had again, or not.", ["result"], registry=REGISTRY
)
CHECKS = Counter(
    "distfile_mirror_upstream_checks", "Upstreams asked after stored files.", ["verdict"], registry=REGISTRY
)
