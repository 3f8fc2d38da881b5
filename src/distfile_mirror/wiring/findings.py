"""How a part of a configuration is, as `doctor` says it."""

from collections.abc import Iterator
from enum import StrEnum

# For whoever is asked over the network.
ANSWER_SECONDS = 5.0


class Level(StrEnum):
    """How a part is."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


Found = Iterator[tuple[Level, str]]
