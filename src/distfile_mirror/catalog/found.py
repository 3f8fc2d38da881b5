"""What the catalog tells the proxy. No Django here: who only reads the answer need not set it up."""

from dataclasses import dataclass, field
from enum import Enum

from distfile_mirror.model.states import State


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A declared file. ``sha256``, ``size`` (bytes), ``headers`` and ``fetched_at`` (Unix time) only when stored.

    ``is_damaged``: its bytes were found missing or wrong in the store.
    """

    uri: str
    state: State
    message: str
    sha256: str
    size: int
    headers: dict[str, str] = field(default_factory=dict)
    received_bytes: int = 0
    total_bytes: int | None = None
    fetched_at: float = 0.0
    row_id: int = 0
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class FoundContent:
    """Content that a registry would serve. ``digest`` as asked for; ``size`` in bytes.

    A blob is in the blob store under ``sha256``; a manifest has its bytes in ``content``, and no ``sha256``.
    ``permanent``: it will never be another answer. ``image_id``: of a manifest, the image that it is served for.
    ``is_damaged``: as of a file.
    """

    digest: str
    media_type: str
    size: int
    sha256: str = ""
    content: bytes | None = None
    permanent: bool = True
    image_id: int = 0
    is_damaged: bool = False


class Why(Enum):
    """Why an image, or a part of one, is not served."""

    NOT_DECLARED = "not declared"
    BY_TAG = "by tag"
    PLATFORM_NOT_CHOSEN = "platform not chosen"
    NOT_A_PART = "not a part"
    DECLARED = "declared"


@dataclass(frozen=True, slots=True)
class MissingImage:
    """What is known of an image that is asked for in vain.

    ``state`` and ``message`` are the image's where one is DECLARED. ``present``: what could be asked for
    instead in this repository, pairs of digest and a note (a tag, or empty). ``image_id`` and ``platform``: the
    index that has the platform which was not chosen.
    """

    registry: str
    repository: str
    reference: str
    why: Why
    state: State | None = None
    message: str = ""
    present: tuple[tuple[str, str], ...] = ()
    image_id: int = 0
    platform: str = ""
    received_bytes: int = 0
    total_bytes: int | None = None
