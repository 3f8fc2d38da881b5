"""The shapes of the REST API for container images."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.documents import (
    MAX_ITEMS,
    Input,
    PageQuery,
    ProblemDocument,
    Progress,
    StateFilter,
    UseDocument,
    use_document,
)
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.tags import Resolved
from distfile_mirror.catalog.image_parts import ImageParts
from distfile_mirror.catalog.models import Image, Registry, Repository
from distfile_mirror.model.states import State

DIGEST = f"sha256:{'0' * 64}"


class ImageDeclarationBody(Input):
    """That an image must be present, for what, and why: `reference`, or `registry`, `repository` and `digest`."""

    reference: str = Field("", description="As clients take it, with its digest.", examples=[f"debian:12@{DIGEST}"])
    registry: str = Field("", description="Its URI, or host[:port][/path].", examples=["https://registry.test"])
    repository: str = Field("", examples=["library/debian"])
    digest: str = Field("", examples=[DIGEST])
    platforms: list[str] = Field(
        [],
        max_length=MAX_ITEMS,
        description="Of an index: `os/architecture[/variant]`, `all` or `none`. By default those of the configuration.",
        examples=[["linux/amd64"]],
    )
    with_referrers: bool = Field(False, description="Keep signatures and the like along.")
    resolve: bool = Field(False, description="Declare the digest that the tag of `reference` has now.")
    project: str = Field(description="What uses it.", examples=["firmware"])
    reason: str = Field(description="Why it is needed.", examples=["base of the build"])
    licence: str = Field("", description="SPDX expression; empty where nobody knows.")


class ReferenceBody(Input):
    """A reference with a tag."""

    reference: str = Field(examples=["debian:12"])


class PlatformsBody(Input):
    """Platforms that are wanted too."""

    platforms: list[str] = Field(max_length=MAX_ITEMS, examples=[["linux/arm64"]])


class ImageListQuery(PageQuery):
    """What to list; every condition must hold."""

    q: str = Field("", description="Part of the reference or of the digest.")
    state: StateFilter = ""
    project: str = Field("", description="The exact name of a project that uses it.")
    registry: str = Field("", description="Exactly this registry, by any of its names.")
    repository: str = Field("", description="Exactly this repository.")
    digest: str = Field("", description="Exactly this digest.")


class Resolution(Schema):
    """What a tag means at a time."""

    reference: str = Field(description="With the digest: what to declare.")
    tag: str
    digest: str
    media_type: str
    platforms: list[str] = Field(description="Of an index.")
    at: str = Field(description="ISO 8601, UTC.")


class ResolvedProblemDocument(ProblemDocument):
    """A refusal. `resolved`: what the tag means now, where only a tag was given and the registry answers."""

    resolved: Resolution | None = None


class Evidence(Schema):
    """What a tag was found to mean, and when."""

    tag: str
    digest: str
    at: str


class LayerDocument(Schema):
    """A config, a layer or another blob."""

    digest: str
    media_type: str
    size: int
    role: str


class ChildDocument(Schema):
    """A manifest of an index."""

    digest: str
    media_type: str
    platform: str = Field(description="Empty where the index says none.")
    attests: str = Field(description="Of an attestation: the digest of what it says something of.")
    state: str = Field(description="As of an image, or `not chosen`.")
    size: int | None = Field(description="Bytes with all that it needs, once it is stored.")


class ReferrerDocument(Schema):
    """A signature or the like that is kept along."""

    digest: str
    media_type: str
    artifact_type: str
    subject: str
    tag: str = Field(description="Under which it was found, if by a tag.")
    size: int


class ImageDocument(Schema):
    """An image: what was declared, and what became of it. What is not known yet is null."""

    id: int
    reference: str
    registry: str
    registry_id: int
    repository: str
    repository_id: int
    digest: str
    tag: str = Field(description="A note of the tag under which it was found; it identifies nothing.")
    state: State
    message: str = Field(description="Why it failed, will be tried again, or is blocked.")
    chosen_platforms: list[str] = Field(description="What is wanted if it is an index.")
    with_referrers: bool
    media_type: str | None
    size: int | None = Field(description="Bytes of all its manifests and blobs.")
    fetched_at: datetime | None
    attempts: int = Field(description="Failed attempts since it was last made pending.")
    next_attempt_at: datetime | None = Field(description="Only while pending.")
    progress: Progress
    evidence: list[Evidence]
    uses: list[UseDocument]
    created_at: datetime
    url: str = Field(description="The page of this image.")


class ImageDetails(ImageDocument):
    """An image with its parts, as its manifest says."""

    layers: list[LayerDocument] = Field(description="The config first; empty for an index.")
    platforms: list[ChildDocument] = Field(description="What an index has.")
    referrers: list[ReferrerDocument]


class ImageList(Schema):
    """A page of images, newest first."""

    images: list[ImageDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class RegistryDocument(Schema):
    """A registry. What several images share is counted for each of them."""

    id: int
    name: str
    images: int
    bytes: int
    created_at: datetime


class RegistryList(Schema):
    """A page of registries, newest first."""

    registries: list[RegistryDocument]
    next_cursor: str | None


class RepositoryDocument(Schema):
    """A repository. What several images share is counted for each of them."""

    id: int
    registry: str
    registry_id: int
    name: str
    images: int
    bytes: int
    created_at: datetime


class RegistryDetails(RegistryDocument):
    """A registry with a page of its repositories."""

    repositories: list[RepositoryDocument]
    next_cursor: str | None


class RepositoryDetails(RepositoryDocument):
    """A repository with a page of its images."""

    image_list: list[ImageDocument]
    next_cursor: str | None


def image_document(image: Image) -> ImageDocument:
    """Write ``image`` as the API lists it."""
    return ImageDocument(**_image_facts(image))


def image_details(image: Image, parts: ImageParts) -> ImageDetails:
    """Write ``image`` as the API shows it."""
    return ImageDetails(
        **_image_facts(image),
        layers=[LayerDocument.from_orm(layer) for layer in parts.layers],
        platforms=[ChildDocument.from_orm(child) for child in parts.platforms],
        referrers=[ReferrerDocument.from_orm(referrer) for referrer in parts.referrers],
    )


def registry_facts(registry: Registry) -> Mapping[str, Any]:
    """Return what is known of a registry that was counted by catalog.image_listing."""
    counted: Any = registry
    return {
        "id": registry.pk,
        "name": registry.name,
        "images": counted.image_count,
        "bytes": counted.bytes,
        "created_at": registry.created_at,
    }


def repository_facts(repository: Repository) -> Mapping[str, Any]:
    """Return what is known of a repository that was counted by catalog.image_listing."""
    counted: Any = repository
    return {
        "id": repository.pk,
        "registry": repository.registry.name,
        "registry_id": repository.registry_id,
        "name": repository.name,
        "images": counted.image_count,
        "bytes": counted.bytes,
        "created_at": repository.created_at,
    }


def resolution(resolved: Resolved) -> Resolution:
    """Write what a tag means as the API says it."""
    evidence = resolved.evidence
    return Resolution(
        reference=str(resolved.reference),
        tag=evidence.tag,
        digest=evidence.digest,
        media_type=evidence.media_type,
        platforms=list(evidence.platforms),
        at=evidence.at,
    )


def image_page_url(image: Image) -> str:
    """Return the address of the page of ``image``, for people anywhere."""
    return f"{current_context().admin_url}/images/{image.pk}"


def _image_facts(image: Image) -> Mapping[str, Any]:
    repository = image.repository
    return {
        "id": image.pk,
        "reference": str(image),
        "registry": repository.registry.name,
        "registry_id": repository.registry_id,
        "repository": repository.name,
        "repository_id": repository.pk,
        "digest": image.digest,
        "tag": image.tag,
        "state": State(image.state),
        "message": image.message,
        "chosen_platforms": image.platforms,
        "with_referrers": image.with_referrers,
        "media_type": image.media_type or None,
        "size": image.size,
        "fetched_at": image.fetched_at,
        "attempts": image.attempts,
        "next_attempt_at": image.due_at if image.state == State.PENDING else None,
        "progress": Progress(received_bytes=image.received_bytes, total_bytes=image.total_bytes),
        "evidence": [Evidence(**each) for each in image.evidence],
        "uses": [use_document(use) for use in image.uses.all()],
        "created_at": image.created_at,
        "url": image_page_url(image),
    }
