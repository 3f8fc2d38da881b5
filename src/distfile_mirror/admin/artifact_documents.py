"""How the REST API names a file or an image beside something else: a use of it, or how often it was served."""

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.documents import UseDocument, page_url, use_document
from distfile_mirror.admin.image_documents import image_page_url
from distfile_mirror.catalog.models import File, Image, Use
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.model.states import State


class ArtifactDocument(Schema):
    """A file or an image, in short."""

    kind: ArtifactKind
    id: int
    name: str = Field(description="The URI of a file, the reference of an image.")
    state: State
    size: int | None = Field(description="In bytes, of what is stored.")
    url: str = Field(description="Its page.")


class ArtifactUseDocument(UseDocument):
    """A use, and of what."""

    artifact: ArtifactDocument


def artifact_document(artifact: File | Image) -> ArtifactDocument:
    """Write ``artifact`` in short."""
    is_file = isinstance(artifact, File)
    return ArtifactDocument(
        kind=ArtifactKind.FILE if is_file else ArtifactKind.IMAGE,
        id=artifact.pk,
        name=str(artifact),
        state=State(artifact.state),
        size=artifact.size,
        url=artifact_url(artifact),
    )


def artifact_url(artifact: File | Image) -> str:
    """Return the address of its page, for people anywhere."""
    return page_url(artifact) if isinstance(artifact, File) else image_page_url(artifact)


def artifact_of(use: Use) -> File | Image:
    """Return what is used: the database sees to it that it is one of the two."""
    artifact = use.file or use.image
    assert artifact is not None  # noqa: S101 - constraint use_of_one
    return artifact


def artifact_use_document(use: Use) -> ArtifactUseDocument:
    """Write ``use`` with what it is of."""
    return ArtifactUseDocument(**use_document(use).model_dump(), artifact=artifact_document(artifact_of(use)))
