"""What downloaders learn of an image and what they are told of one. No Django here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a manifest is to an image."""

    IMAGE = "image"
    CHILD = "child"
    ATTESTATION = "attestation"
    REFERRER = "referrer"


@dataclass(frozen=True, slots=True)
class ImageClaim:
    """An image that this worker is to fetch. ``platforms`` as PlatformChoice.texts writes them.

    ``request_id``: of the request that asked for it last.
    """

    row_id: int
    registry: str
    repository: str
    digest: str
    platforms: Sequence[str]
    with_referrers: bool
    attempts: int
    request_id: str = ""

    @property
    def uri(self) -> str:
        """Its name for people."""
        return f"{self.registry}/{self.repository}@{self.digest}"

    @property
    def host(self) -> str:
        """What it counts for where downloads per host are limited: its registry."""
        return self.registry


@dataclass(frozen=True, slots=True)
class FetchedBlob:
    """A blob in the store. ``digest`` as the manifest has it, ``sha256`` as the store has it; ``size`` in bytes."""

    digest: str
    sha256: str
    size: int
    media_type: str
    role: str


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest whose blobs are all stored. ``tag``: under which a referrer was found, if by a tag."""

    digest: str
    media_type: str
    content: bytes
    role: Role
    platform: str = ""
    artifact_type: str = ""
    subject: str = ""
    tag: str = ""
    blobs: Sequence[FetchedBlob] = ()


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """An image that is whole: every manifest that was chosen, its own first, and every blob."""

    row_id: int
    media_type: str
    size: int
    manifests: Sequence[FetchedManifest]


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """A blob that the store has, whatever image it came with. ``size`` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class TagEvidence:
    """What a tag was found to mean. ``at``: ISO 8601, UTC. ``platforms``: of an index, for the choice of some."""

    tag: str
    digest: str
    at: str
    media_type: str = ""
    platforms: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> Mapping[str, str]:
        """What of it is recorded."""
        return {"tag": self.tag, "digest": self.digest, "at": self.at}
