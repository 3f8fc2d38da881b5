"""What a proxy saw, gathered for a few seconds. No Django here: who only gathers need not set it up."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from distfile_mirror.model.misses import MissReason


class ArtifactKind(StrEnum):
    """The two kinds of artifacts."""

    FILE = "file"
    IMAGE = "image"


class Artifact(NamedTuple):
    """A row of the catalog that was served."""

    kind: ArtifactKind
    row_id: int


@dataclass(frozen=True, slots=True)
class MissKey:
    """What was asked for in vain, why, and by whom. ``name``: the URI of a file, the reference of an image."""

    kind: ArtifactKind
    name: str
    reason: MissReason
    label: str
    client: str


@dataclass(slots=True)
class Seen:
    """How often, and when first and last (Unix time)."""

    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class Sightings:
    """What one worker saw since it last told. ``sent_bytes``: of all answers.

    ``hits``: triples of artifact, label and how often and when; ``misses``: pairs likewise.
    """

    hits: Sequence[tuple[Artifact, str, Seen]]
    misses: Sequence[tuple[MissKey, Seen]]
    sent_bytes: int = 0
