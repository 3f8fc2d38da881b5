"""What a benchmark finds: rows of two figures each, ours and the peer's, and the ratio that counts."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 5

# Measures once: (ours, peer).
Round = Callable[[], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Target:
    """A limit of the ratio. ``at_least``: the ratio is one of speeds, peer's time to ours; else ours to the peer's."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:.2f}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. ``ours`` and ``peer``: a figure for each round; no ``target``: for information."""

    name: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    target: Target | None = None
    is_speed: bool = False

    @property
    def ratio(self) -> float | None:
        """Return the ratio of the medians, or None where there is nothing to compare with."""
        if not self.peer:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.peer)
        return 1 / ratio if self.is_speed else ratio

    @property
    def is_met(self) -> bool:
        """Tell whether the target is met; without one it is."""
        if self.target is None or self.ratio is None:
            return True
        return self.ratio >= self.target.limit if self.target.at_least else self.ratio <= self.target.limit

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return the texts of the columns: row, ours, peer, ratio, target, ok."""
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        target = "-" if self.target is None else str(self.target)
        verdict = "-" if self.target is None else ("yes" if self.is_met else "NO")
        return self.name, self._figure(self.ours), self._figure(self.peer), ratio, target, verdict

    def _figure(self, values: tuple[float, ...]) -> str:
        return f"{readable(statistics.median(values))} {self.unit}" if values else "-"


@dataclass(frozen=True, slots=True)
class Group:
    """A table: its title, what its peer is, how it was measured, and its rows."""

    title: str
    peer: str
    method: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What to measure: ``once`` gives seconds, shown as ``unit`` after multiplying by ``scale``."""

    name: str
    unit: str
    scale: float
    once: Round
    target: Target


def measured(measure: Measure, rounds: int = ROUNDS) -> Row:
    """Measure in ``rounds`` rounds, ours and the peer's in turn, after one that is not counted."""
    measure.once()
    pairs = [measure.once() for _ in range(rounds)]
    ours, peer = zip(*pairs, strict=True)
    return Row(
        name=measure.name,
        unit=measure.unit,
        ours=tuple(value * measure.scale for value in ours),
        peer=tuple(value * measure.scale for value in peer),
        target=measure.target,
        is_speed=measure.target.at_least,
    )


def readable(value: float) -> str:
    """Write a figure with three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
