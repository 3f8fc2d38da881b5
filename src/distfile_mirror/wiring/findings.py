"""How a part of a configuration is, as `doctor` says it."""

from collections.abc import Iterator
from enum import StrEnum


class Level(StrEnum):
    """How a part is."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


Found = Iterator[tuple[Level, str]]
