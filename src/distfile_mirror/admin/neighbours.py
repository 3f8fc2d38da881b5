"""The metrics of components without a port that share the admin's data folder: each writes a file (wiring.metrics)."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# Who has written nothing for so long is gone, and could not take its file along.
FRESH_SECONDS = 60.0


class NeighbourCollector(Collector):
    """Sums what the files in ``folder`` say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is changes."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that any of them has."""
        families: dict[str, Metric] = {}
        sums: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
        for text in self._texts():
            for family in text_string_to_metric_families(text):
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    sums[family.name, sample.name, tuple(sorted(sample.labels.items()))] += sample.value
        for (family_name, name, labels), value in sums.items():
            families[family_name].add_sample(name, dict(labels), value)
        yield from families.values()

    def _texts(self) -> Iterator[str]:
        now = time.time()
        for path in sorted(self._folder.glob("*.prom")):
            try:
                if now - path.stat().st_mtime < FRESH_SECONDS:
                    yield path.read_text(encoding="utf-8")
            except OSError:
                continue
