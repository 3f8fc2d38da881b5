"""The proxy's questions about images: is this manifest, this blob served under this repository?

A manifest has a row only when all that it needs is stored, so a row is enough to serve it, unless
every image that has it is blocked. A blob is served under a repository only if a manifest there
needs it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from distfile_mirror.catalog.care import is_damaged
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.found import FoundContent, MissingImage, Why
from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.catalog.models import Image, ImageManifest, Manifest, ManifestBlob, Registry, Repository
from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.digests import digest_of
from distfile_mirror.model.manifests import INDEX_TYPES, OCI_INDEX, parse_manifest
from distfile_mirror.model.states import State

# Of those that are present, so many are offered to who asked for another.
MAX_OFFERED = 20

Candidates = Sequence[tuple[str, str]]


def find_manifest(candidates: Candidates, reference: str) -> FoundContent | MissingImage:
    """Return the manifest of a digest, or of a tag that a signature or the like was found by. Raises UnavailableError.

    ``candidates``: pairs of registry and repository, of which the first that exists is meant.
    """
    with available():
        repository = _repository(candidates)
        if repository is None:
            return _not_declared(candidates, reference)
        if ":" not in reference:
            return _find_tagged(repository, reference)
        parts = list(
            ImageManifest.objects.filter(manifest__repository=repository, manifest__digest=reference).values_list(
                "image__state", "image__message", "image__digest", "image_id"
            )
        )
        refused = _blocked(repository, reference, parts)
        if refused is not None:
            return refused
        if not parts:
            return _explain_missing(repository, reference)
        media_type, content = Manifest.objects.values_list("media_type", "content").get(
            repository=repository, digest=reference
        )
    own = [part for part in parts if part[2] == reference]
    return replace(_content(reference, media_type, bytes(content)), image_id=(own or parts)[0][3])


def find_blob(candidates: Candidates, digest: str) -> FoundContent | MissingImage:
    """Return a blob that an image of the repository needs. Raises UnavailableError."""
    with available():
        repository = _repository(candidates)
        if repository is None:
            return _not_declared(candidates, digest)
        row = ManifestBlob.objects.filter(digest=digest, manifest__repository=repository)
        served = row.filter(manifest__images__image__state__in=_SERVED_STATES)
        found = served.values_list("sha256", "size", is_damaged("sha256")).first()
        if found is None:
            # containerd asks for a manifest here when it was not found as one.
            states = list(row.values_list("manifest__images__image__message", flat=True)[:1])
            if states:
                return _missing(repository, digest, Why.DECLARED, state=State.BLOCKED, message=states[0])
            return _missing(repository, digest, Why.NOT_A_PART)
    sha256, size, damaged = found
    return FoundContent(digest, "application/octet-stream", size, sha256=sha256, is_damaged=bool(damaged))


def find_referrers(candidates: Candidates, digest: str, artifact_type: str) -> FoundContent | MissingImage:
    """Return the index of what refers to ``digest``; empty if nothing does. Raises UnavailableError."""
    with available():
        repository = _repository(candidates)
        if repository is None:
            return _not_declared(candidates, digest)
        rows = Manifest.objects.filter(
            repository=repository, subject=digest, images__image__state__in=_SERVED_STATES
        ).order_by("pk")
        manifests = list(rows.values_list("digest", "media_type", "artifact_type", "content").distinct())
    descriptors = [_descriptor(*row) for row in manifests if not artifact_type or row[2] == artifact_type]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
    content = json.dumps(index).encode()
    return _content(str(digest_of(content)), OCI_INDEX, content, permanent=False)


def find_tags(candidates: Candidates) -> FoundContent | MissingImage:
    """Return the list of the tags that are served: those of signatures and the like. Raises UnavailableError."""
    with available():
        repository = _repository(candidates)
        if repository is None:
            return _not_declared(candidates, "")
        tags = (
            ImageManifest.objects.filter(manifest__repository=repository).exclude(tag="").values_list("tag", flat=True)
        )
        content = json.dumps({"name": repository.name, "tags": sorted(set(tags))}).encode()
    return _content(str(digest_of(content)), "application/json", content, permanent=False)


def has_registry(registry: str) -> bool:
    """Tell whether an image of ``registry`` was ever declared. Raises UnavailableError."""
    with available():
        return Registry.objects.filter(name=registry).exists()


# A manifest that has a row is whole; that of an image of which more is wanted, too.
_SERVED_STATES = tuple(state.value for state in State if state is not State.BLOCKED)


def _repository(candidates: Candidates) -> Repository | None:
    for registry, name in candidates:
        found = Repository.objects.select_related("registry").filter(registry__name=registry, name=name).first()
        if found is not None:
            return found
    return None


def _blocked(repository: Repository, digest: str, parts: Sequence[tuple[str, str, str, int]]) -> MissingImage | None:
    """Refuse what is blocked itself, and what only blocked images have."""
    for state, message, image_digest, _image_id in parts:
        if state == State.BLOCKED and (image_digest == digest or all(part[0] == State.BLOCKED for part in parts)):
            return _missing(repository, digest, Why.DECLARED, state=State.BLOCKED, message=message)
    return None


def _find_tagged(repository: Repository, tag: str) -> FoundContent | MissingImage:
    row = (
        ImageManifest.objects.filter(manifest__repository=repository, tag=tag, image__state__in=_SERVED_STATES)
        .values_list("manifest__digest", "manifest__media_type", "manifest__content")
        .first()
    )
    if row is None:
        return _missing(repository, tag, Why.BY_TAG, present=_present(repository))
    digest, media_type, content = row
    return _content(digest, media_type, bytes(content), permanent=False)


def _explain_missing(repository: Repository, digest: str) -> MissingImage:
    image = Image.objects.filter(repository=repository, digest=digest).first()
    if image is not None:
        return _missing(
            repository,
            digest,
            Why.DECLARED,
            state=State(image.state),
            message=image.message,
            image_id=image.pk,
            received_bytes=image.received_bytes,
            total_bytes=image.total_bytes,
        )
    indexes = Manifest.objects.filter(
        repository=repository, media_type__in=INDEX_TYPES, images__role=Role.IMAGE.value
    ).values_list("content", "images__image_id", "images__image__state", "images__image__message")
    for content, image_id, state, message in indexes:
        platform = _platform_of(bytes(content), digest)
        if platform is not None:
            why = Why.PLATFORM_NOT_CHOSEN if state in {State.PRESENT, State.BLOCKED} else Why.DECLARED
            return _missing(
                repository, digest, why, platform=platform, image_id=image_id, state=State(state), message=message
            )
    return _missing(repository, digest, Why.NOT_DECLARED, present=_present(repository))


def _platform_of(index: bytes, digest: str) -> str | None:
    """Return the platform of a child of ``index``, perhaps empty; None if ``digest`` is no child of it."""
    try:
        children = parse_manifest(index).children
    except PermanentFetchError:
        return None
    for child in children:
        if str(child.digest) == digest:
            return str(child.platform or "")
    return None


def _present(repository: Repository) -> tuple[tuple[str, str], ...]:
    rows = Image.objects.filter(repository=repository, state=State.PRESENT).order_by("-pk")
    return tuple(rows.values_list("digest", "tag")[:MAX_OFFERED])


def _descriptor(digest: str, media_type: str, artifact_type: str, content: bytes | memoryview) -> dict[str, object]:
    found: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": len(content)}
    if artifact_type:
        found["artifactType"] = artifact_type
    annotations = parse_manifest(bytes(content), media_type).annotations
    return {**found, "annotations": dict(annotations)} if annotations else found


def _content(digest: str, media_type: str, content: bytes, *, permanent: bool = True) -> FoundContent:
    return FoundContent(digest, media_type, len(content), content=content, permanent=permanent)


def _not_declared(candidates: Candidates, reference: str) -> MissingImage:
    registry, repository = candidates[0]
    return MissingImage(registry, repository, reference, Why.BY_TAG if _is_tag(reference) else Why.NOT_DECLARED)


def _is_tag(reference: str) -> bool:
    return bool(reference) and ":" not in reference


def _missing(repository: Repository, reference: str, why: Why, **facts: object) -> MissingImage:
    return MissingImage(repository.registry.name, repository.name, reference, why, **facts)  # type: ignore[arg-type]
