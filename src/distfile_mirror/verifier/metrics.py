"""What verifying counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()
VERIFIED = Counter(
    "distfile_mirror_verified_blobs",
    "Blobs read again and compared: sound, or missing or corrupt.",
    ["result"],
    registry=REGISTRY,
)
READ = Counter("distfile_mirror_verified_bytes", "Bytes of blobs read again.", registry=REGISTRY)
