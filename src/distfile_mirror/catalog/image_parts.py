"""What an image consists of, as its stored manifests say: layers, or platforms and what belongs to them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Sum

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.catalog.models import Image, ImageManifest, Manifest
from distfile_mirror.model import manifests
from distfile_mirror.model.manifests import MAX_DEPTH, Descriptor, chosen_children, parse_manifest
from distfile_mirror.model.platforms import PlatformChoice, parse_choice
from distfile_mirror.model.states import State

NOT_CHOSEN = "not chosen"


@dataclass(frozen=True, slots=True)
class Layer:
    """A config, a layer or another blob. ``size`` in bytes; ``role``: "config" or "layer"."""

    digest: str
    media_type: str
    size: int
    role: str


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest that an index lists. ``platform`` may be empty; ``attests``: the digest that it says something of.

    ``state``: a State, or NOT_CHOSEN. ``size``: bytes of the manifest and all that it needs, None while not stored.
    """

    digest: str
    media_type: str
    platform: str
    attests: str
    state: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Referrer:
    """A signature or the like that is kept along. ``tag``: under which it was found, if by a tag."""

    digest: str
    media_type: str
    artifact_type: str
    subject: str
    tag: str
    size: int


@dataclass(frozen=True, slots=True)
class ImageParts:
    """All parts of an image: ``layers`` (the config first) or ``platforms``, and ``referrers``."""

    layers: tuple[Layer, ...] = ()
    platforms: tuple[Child, ...] = ()
    referrers: tuple[Referrer, ...] = ()


def image_parts(image: Image) -> ImageParts:
    """Return what ``image`` consists of; nothing before its own manifest is stored. Raises UnavailableError."""
    with available():
        own = _stored(image, image.digest)
        if own is None:
            return ImageParts()
        if own.is_index:
            return ImageParts(platforms=image_platforms(image), referrers=_referrers(image))
        return ImageParts(layers=image_layers(image), referrers=_referrers(image))


def image_layers(image: Image) -> tuple[Layer, ...]:
    """Return config and layers in the manifest's order, repeated ones too. Raises UnavailableError."""
    with available():
        own = _stored(image, image.digest)
    return tuple(Layer(str(blob.digest), blob.media_type, blob.size, blob.role) for blob in own.blobs) if own else ()


def image_platforms(image: Image) -> tuple[Child, ...]:
    """Return what an index lists, those of nested indexes behind them; nothing of others. Raises UnavailableError."""
    with available():
        own = _stored(image, image.digest)
        if own is None:
            return ()
        choice = parse_choice(image.platforms)
        sizes = dict(_sizes(image.repository_id, [str(child.digest) for child in own.children]))
        return tuple(_children(image, own, choice, sizes, depth=1))


def _children(
    image: Image, index: manifests.Manifest, choice: PlatformChoice, sizes: dict[str, int], *, depth: int
) -> Iterator[Child]:
    chosen = set(map(_digest, chosen_children(index, choice)))
    waiting = State.PENDING.value if image.state in {State.PRESENT, State.BLOCKED} else image.state
    for child in index.children:
        digest = _digest(child)
        state = State.PRESENT.value if digest in sizes else waiting if digest in chosen else NOT_CHOSEN
        platform = str(child.platform or "")
        yield Child(digest, child.media_type, platform, child.attests, state, sizes.get(digest))
        nested = _stored(image, digest) if child.media_type in manifests.INDEX_TYPES and digest in sizes else None
        if nested is not None and depth < MAX_DEPTH:
            inner = dict(_sizes(image.repository_id, map(_digest, nested.children)))
            yield from _children(image, nested, choice, inner, depth=depth + 1)


def _referrers(image: Image) -> tuple[Referrer, ...]:
    parts = ImageManifest.objects.filter(image=image, role=Role.REFERRER).select_related("manifest").order_by("pk")
    sizes = dict(_sizes(image.repository_id, [part.manifest.digest for part in parts]))
    return tuple(
        Referrer(
            digest=part.manifest.digest,
            media_type=part.manifest.media_type,
            artifact_type=part.manifest.artifact_type,
            subject=part.manifest.subject,
            tag=part.tag,
            size=sizes[part.manifest.digest],
        )
        for part in parts
    )


def _stored(image: Image, digest: str) -> manifests.Manifest | None:
    found = Manifest.objects.filter(repository=image.repository_id, digest=digest).first()
    return parse_manifest(bytes(found.content), found.media_type) if found else None


def _sizes(repository_id: int, digests: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield the digests of those that are stored, with the bytes of manifest and blobs."""
    rows = Manifest.objects.filter(repository=repository_id, digest__in=list(digests))
    for digest, content, blobs in rows.values_list("digest", "content", Sum("blobs__size")):
        yield digest, len(content) + (blobs or 0)


def _digest(descriptor: Descriptor) -> str:
    return str(descriptor.digest)
