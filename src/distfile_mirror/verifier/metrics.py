"""What verifying counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()
VERIFIED = Counter(
    "distfile_mirror_verified_blobs",
    "Blobs read again and compared: sound, or missing or corrupt.",
    ["result"],
    registry=REGISTRY,
)
READ = Counter("distfile_mirror_verified_bytes", "Bytes of blobs read again.", registry=REGISTRY)
# One process at a time goes a round, so that sums over all processes are those of that round.
ROUND_BLOBS = Gauge(
    "distfile_mirror_verify_round_blobs",
    "All blobs of the round that this process goes, counted now and then; 0 while it goes none.",
    registry=REGISTRY,
)
ROUND_BYTES = Gauge(
    "distfile_mirror_verify_round_bytes",
    "Bytes of all blobs of the round that this process goes, counted now and then; 0 while it goes none.",
    registry=REGISTRY,
)
ROUND_READ = Gauge(
    "distfile_mirror_verify_round_read_bytes",
    "Bytes read so far in the round that this process goes, by whoever went it before, too; 0 while it goes none.",
    registry=REGISTRY,
)
