"""Tags: what one means now, and why it alone identifies nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime

from distfile_mirror.admin.settings import current_context
from distfile_mirror.catalog.image_facts import TagEvidence
from distfile_mirror.errors import InvalidInputError, PermanentFetchError, TransientFetchError
from distfile_mirror.model.references import ImageReference, make_reference, parse_reference

# What clients mean by a reference without tag and digest.
DEFAULT_TAG = "latest"
FIELD = "reference"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a tag means. ``reference`` has tag and digest."""

    reference: ImageReference
    evidence: TagEvidence


class TagAloneError(InvalidInputError):
    """An image was named by a tag alone. ``resolved``: what the tag means now, if the registry said so."""

    def __init__(self, message: str, resolved: Resolved | None) -> None:
        super().__init__({FIELD: [message]})
        self.resolved = resolved


def read_reference(text: str) -> ImageReference:
    """Read a reference. Raises InvalidInputError, about the field ``reference``."""
    try:
        return parse_reference(text)
    except ValueError as error:
        raise InvalidInputError({FIELD: [str(error)]}) from None


def resolve(reference: ImageReference) -> Resolved:
    """Ask the registry which digest the tag of ``reference`` has now.

    Raises:
        InvalidInputError: if there is no such image.
        TransientFetchError: if the registry does not answer now.
    """
    tag = reference.tag or DEFAULT_TAG
    try:
        found = current_context().resolve_tag(reference.registry, reference.repository, tag)
    except PermanentFetchError as error:
        raise InvalidInputError({FIELD: [str(error)]}) from None
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    full = make_reference(reference.registry, reference.repository, tag=tag, digest=found.digest)
    return Resolved(full, TagEvidence(tag, found.digest, at, found.media_type, tuple(found.platforms)))


def refuse_tag_alone(reference: ImageReference) -> TagAloneError:
    """Make the error for a reference without a digest; it says what to declare instead, if the registry answers."""
    why = f"{_name(reference)} names a tag, and a tag moves: an image is identified by its digest"
    try:
        resolved = resolve(reference)
    except (InvalidInputError, TransientFetchError) as error:
        said = " ".join(error.problems[FIELD]) if isinstance(error, InvalidInputError) else str(error)
        return TagAloneError(f"{why}. Which one the tag has now cannot be told: {said}", None)
    digest = resolved.evidence.digest
    return TagAloneError(f"{why}. It has {digest} now; declare {resolved.reference}, or resolve it", resolved)


def _name(reference: ImageReference) -> str:
    return f"{reference.registry}/{reference.repository}:{reference.tag or DEFAULT_TAG}"
