"""How long answers take, counted in ranges beside a worker's other numbers.

From the request to the moment when the kernel has the last byte. What is answered without waiting for
anything, which is most of it, takes no look at the clock: it counts as nothing, in the first range.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from prometheus_client.core import HistogramMetricFamily, Metric

# Upper bounds in seconds; what takes longer is in one more range.
BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
# The places of the ranges' numbers in a worker's file, and of the sum in microseconds.
FIRST = 48
SUM = FIRST + len(BOUNDS) + 1
NAME = "distfile_mirror_request_duration_seconds"
TEXT = "From a request to the last byte of its answer given to the kernel; what waits for nothing counts as 0."


def observe(counters: memoryview, seconds: float) -> None:
    """Count an answer that took so long."""
    counters[FIRST + bisect_left(BOUNDS, seconds)] += 1
    counters[SUM] += int(seconds * 1e6)


def duration_metrics(workers: Mapping[str, memoryview]) -> Iterator[Metric]:
    """Yield the histogram with the numbers of each worker."""
    metric = HistogramMetricFamily(NAME, TEXT, labels=["worker"])
    for worker, numbers in workers.items():
        total = 0
        buckets = []
        for place, bound in enumerate((*map(str, BOUNDS), "+Inf")):
            total += numbers[FIRST + place]
            buckets.append((bound, total))
        metric.add_metric([worker], buckets=buckets, sum_value=numbers[SUM] / 1e6)
    yield metric
