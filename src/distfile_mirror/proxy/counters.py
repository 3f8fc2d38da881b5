"""What a worker counts: one number of 8 bytes for each thing, in a file that all workers map.

Counting costs an addition in memory, and any worker can tell the sums of all of them, since a
scrape reaches whichever worker accepts it.
"""

import mmap
import os
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from distfile_mirror.proxy.durations import duration_metrics


class Count(IntEnum):
    """Everything that is counted; the place of each number in the file."""

    CONNECTIONS_ACCEPTED = 0
    CONNECTIONS_OPEN = 1
    TUNNELS = 2
    HANDSHAKES = 3
    HANDSHAKES_FAILED = 4
    CERTIFICATES_ISSUED = 5
    BYTES_SENT = 6
    LOOKUPS = 7
    LOOKUPS_FAILED = 8
    SERVED = 9
    PARTIAL = 10
    NOT_MODIFIED = 11
    MISSED = 12
    BLOCKED = 13
    OWN_PAGES = 14
    REFUSED = 15
    UNAVAILABLE = 16
    LIMIT_HEAD_SIZE = 17
    LIMIT_HEAD_TIME = 18
    LIMIT_HANDSHAKE_TIME = 19
    LIMIT_IDLE_TIME = 20
    LIMIT_STALLED_WRITER = 21
    LIMIT_CONNECTIONS = 22
    LIMIT_CONNECTIONS_PER_CLIENT = 23
    SIGHTINGS_DROPPED = 24
    CACHE_HITS = 25
    CACHE_FILLS = 26
    CACHE_FILLED_BYTES = 27
    CACHE_FILLS_FAILED = 28
    CACHE_CORRUPT = 29
    CACHE_EVICTED = 30


BY_OUTCOME = {
    "served": Count.SERVED,
    "partial": Count.PARTIAL,
    "not_modified": Count.NOT_MODIFIED,
    "missed": Count.MISSED,
    "blocked": Count.BLOCKED,
    "own_page": Count.OWN_PAGES,
    "refused": Count.REFUSED,
    "unavailable": Count.UNAVAILABLE,
}
BY_LIMIT = {
    "head_size": Count.LIMIT_HEAD_SIZE,
    "head_time": Count.LIMIT_HEAD_TIME,
    "handshake_time": Count.LIMIT_HANDSHAKE_TIME,
    "idle_time": Count.LIMIT_IDLE_TIME,
    "stalled_writer": Count.LIMIT_STALLED_WRITER,
    "connections": Count.LIMIT_CONNECTIONS,
    "connections_per_client": Count.LIMIT_CONNECTIONS_PER_CLIENT,
}
SINGLE = {
    "connections": (Count.CONNECTIONS_ACCEPTED, "Connections accepted."),
    "tunnels": (Count.TUNNELS, "CONNECT requests answered with 200."),
    "tls_handshakes": (Count.HANDSHAKES, "TLS handshakes completed."),
    "tls_handshakes_failed": (Count.HANDSHAKES_FAILED, "TLS handshakes that failed, often for want of the CA."),
    "certificates_issued": (Count.CERTIFICATES_ISSUED, "Certificates made."),
    "sent_bytes": (Count.BYTES_SENT, "Bytes of answers sent, before encryption."),
    "lookups": (Count.LOOKUPS, "Look-ups in the catalog that no cache answered."),
    "sightings_dropped": (
        Count.SIGHTINGS_DROPPED,
        "Notes of what was asked for that were lost, for want of room or database.",
    ),
    "cache_hits": (Count.CACHE_HITS, "Blobs of an object store that were opened and were in the cache on disk."),
    "cache_fills": (Count.CACHE_FILLS, "Blobs that began to be brought from the object store into the cache."),
    "cache_filled_bytes": (Count.CACHE_FILLED_BYTES, "Bytes brought from the object store into the cache."),
    "cache_fills_failed": (Count.CACHE_FILLS_FAILED, "Blobs that could not be brought into the cache."),
    "cache_corrupt": (Count.CACHE_CORRUPT, "Blobs whose bytes in the object store are not those of their digest."),
    "cache_evicted": (Count.CACHE_EVICTED, "Blobs that were removed from the cache to make room."),
    "lookups_failed": (Count.LOOKUPS_FAILED, "Look-ups that database or blob store did not answer."),
}
_SIZE = 8 * 64  # room for more; durations have theirs from 48 on
_SUFFIX = ".counters"


def open_counters(folder: Path, worker: int) -> memoryview:
    """Map the numbers of ``worker``, all zero, under ``folder``; index them by Count."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{worker}{_SUFFIX}"
    # A worker that this one replaces may still be counting, in a file that nobody reads any more.
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, _SIZE)
        return memoryview(mmap.mmap(fd, _SIZE)).cast("Q")
    finally:
        os.close(fd)


def remove_counters(folder: Path) -> None:
    """Forget the numbers of earlier workers."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)


class CounterCollector(Collector):
    """The numbers of all workers in ``folder`` for Prometheus, by worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with one sample a worker."""
        workers = {path.stem: _read(path) for path in sorted(self._folder.glob(f"*{_SUFFIX}"))}
        for name, (count, text) in SINGLE.items():
            metric = CounterMetricFamily(f"distfile_mirror_proxy_{name}", text, labels=["worker"])
            for worker, numbers in workers.items():
                metric.add_metric([worker], numbers[count])
            yield metric
        yield _labelled("requests", "Requests answered.", "outcome", BY_OUTCOME, workers)
        yield _labelled("limits", "Connections ended or refused by a limit.", "limit", BY_LIMIT, workers)
        gauge = GaugeMetricFamily("distfile_mirror_proxy_open_connections", "Connections now.", labels=["worker"])
        for worker, numbers in workers.items():
            gauge.add_metric([worker], numbers[Count.CONNECTIONS_OPEN])
        yield gauge
        yield from duration_metrics(workers)


def _labelled(name: str, text: str, label: str, counts: dict[str, Count], workers: dict[str, memoryview]) -> Metric:
    metric = CounterMetricFamily(f"distfile_mirror_proxy_{name}", text, labels=[label, "worker"])
    for value, count in counts.items():
        for worker, numbers in workers.items():
            metric.add_metric([value, worker], numbers[count])
    return metric


def _read(path: Path) -> memoryview:
    return memoryview(path.read_bytes().ljust(_SIZE, b"\0")).cast("Q")
