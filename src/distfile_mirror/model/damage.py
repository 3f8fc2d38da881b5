"""What can be wrong with bytes that are stored."""

from enum import StrEnum


class Problem(StrEnum):
    """How a blob is damaged."""

    MISSING = "missing"
    CORRUPT = "corrupt"
