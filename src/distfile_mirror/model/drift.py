"""What an upstream says of a file that is stored here: the same, another, or nothing any more. Pure."""

from dataclasses import dataclass
from enum import StrEnum

GONE_STATUSES = frozenset({404, 410})
OK = 200


class Verdict(StrEnum):
    """What can be told without fetching the file again."""

    SAME = "same"
    CHANGED = "changed"
    PERHAPS_CHANGED = "perhaps changed"
    GONE = "gone"
    UNKNOWN = "unknown"


# What somebody should know of.
DRIFTED = frozenset({Verdict.CHANGED, Verdict.PERHAPS_CHANGED, Verdict.GONE})
NOT_DRIFTED = (Verdict.SAME, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored. ``size`` in bytes; ``last_modified`` as upstream sent it, or empty."""

    size: int
    last_modified: str
    is_encoded: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What upstream answered to HEAD. ``size``: the Content-Length, or None."""

    status: int
    size: int | None
    last_modified: str
    is_encoded: bool


def judge(stored: Stored, said: Said) -> tuple[Verdict, str]:
    """Return the verdict and what it rests on, for people."""
    if said.status in GONE_STATUSES:
        return Verdict.GONE, f"upstream answers {said.status}"
    if said.status != OK:
        return Verdict.UNKNOWN, f"upstream answers {said.status} to the question"
    comparable = said.size is not None and said.is_encoded == stored.is_encoded
    if comparable and said.size != stored.size:
        return Verdict.CHANGED, f"upstream has {said.size} bytes there now, stored are {stored.size}"
    if stored.last_modified and said.last_modified and said.last_modified != stored.last_modified:
        told = f"upstream says it was last modified {said.last_modified}; when it was fetched: {stored.last_modified}"
        return Verdict.PERHAPS_CHANGED, told
    if not comparable and not (stored.last_modified and said.last_modified):
        return Verdict.UNKNOWN, "upstream has something there, and does not say how long it is or when it was modified"
    return Verdict.SAME, ""
