"""Manifests and indexes, as registries store them: their bytes in, what they need out.

The OCI image specification 1.1, its predecessor Docker schema 2, and OCI's short-lived artifact
manifest. The bytes are never changed: the digest is of them. What is not understood and could hide
something that is needed is refused, since an image must be present whole or not at all.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.digests import Digest, digest_of, parse_digest
from distfile_mirror.model.platforms import Platform, PlatformChoice, make_platform

# OCI distribution specification 1.1: what registries must accept at least, and what clients read at most.
MAX_MANIFEST_BYTES = 4 << 20
MAX_DEPTH = 4

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA_1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT})
# What a client that takes everything says in Accept.
ACCEPTED_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT)

# How BuildKit ties an attestation to a child of the same index.
_ATTESTATION_TYPE = "vnd.docker.reference.type"
_ATTESTATION_SUBJECT = "vnd.docker.reference.digest"


class ManifestError(PermanentFetchError):
    """A manifest that cannot be mirrored; asking again gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of other content. ``size`` in bytes; ``data`` are the content's bytes, if embedded.

    ``role`` is "config", "layer" or "manifest".
    """

    digest: Digest
    size: int
    media_type: str
    role: str
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None

    @property
    def attests(self) -> str:
        """The digest of the child of the same index to which this attestation belongs, or empty."""
        is_attestation = self.annotations.get(_ATTESTATION_TYPE) == "attestation-manifest"
        return self.annotations.get(_ATTESTATION_SUBJECT, "") if is_attestation else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, read. ``children`` only in an index, ``blobs`` only in the others (config first)."""

    media_type: str
    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    artifact_type: str = ""
    subject: Digest | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Tell whether it lists other manifests."""
        return self.media_type in INDEX_TYPES


def parse_manifest(content: bytes, content_type: str = "") -> Manifest:
    """Read a manifest. ``content_type`` is what the registry calls it, believed only where the bytes do not say.

    Raises:
        ManifestError: saying why it cannot be mirrored.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"the manifest has {len(content)} bytes; at most {MAX_MANIFEST_BYTES} are accepted")
    document = _read_json(content)
    media_type = _media_type(document, content_type.partition(";")[0].strip().lower())
    subject = document.get("subject")
    common: dict[str, Any] = {
        "media_type": media_type,
        "subject": _descriptor(subject, "manifest", "subject").digest if subject is not None else None,
        "annotations": _annotations(document),
    }
    if media_type in INDEX_TYPES:
        children = _descriptors(document, "manifests", "manifest")
        return Manifest(children=children, artifact_type=_text(document, "artifactType"), **common)
    if media_type == OCI_ARTIFACT:
        blobs = _descriptors(document, "blobs", "layer") if "blobs" in document else ()
        return Manifest(blobs=blobs, artifact_type=_text(document, "artifactType"), **common)
    config = _descriptor(document.get("config"), "config", "config")
    layers = _descriptors(document, "layers", "layer")
    artifact_type = _text(document, "artifactType") or config.media_type
    return Manifest(blobs=(config, *layers), artifact_type=artifact_type, **common)


def chosen_children(index: Manifest, choice: PlatformChoice) -> list[Descriptor]:
    """Return the children of ``index`` that ``choice`` means, and the attestations that belong to them.

    A nested index without a platform of its own is always meant, unless nothing is: what is chosen may be in it.
    """
    if choice.all:
        return list(index.children)
    if not choice.platforms:
        return []
    chosen = [child for child in index.children if not child.attests and _is_chosen(child, choice)]
    digests = {str(child.digest) for child in chosen}
    return [*chosen, *(child for child in index.children if child.attests in digests)]


def platforms_of(index: Manifest) -> list[Platform]:
    """Return the platforms that ``index`` has, without those of attestations."""
    found = (child.platform for child in index.children if child.platform is not None and not child.attests)
    return list(dict.fromkeys(found))


def _is_chosen(child: Descriptor, choice: PlatformChoice) -> bool:
    if child.platform is None:
        return child.media_type in INDEX_TYPES
    return choice.includes(child.platform)


def _read_json(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ManifestError("the manifest is not JSON") from None
    if not isinstance(document, dict):
        raise ManifestError("the manifest is not a JSON object")
    return document


def _media_type(document: dict[str, Any], content_type: str) -> str:
    said = _text(document, "mediaType") or content_type
    if document.get("schemaVersion") == 1 or said in SCHEMA_1:
        raise ManifestError(
            "this is an image in Docker's schema 1, which has no digests of its own to verify by and which clients "
            "have given up; ask its maker for a newer one, or convert it (skopeo copy) into a registry of yours"
        )
    # A document that can be read as either kind is refused (CVE-2021-41190).
    is_index, is_manifest = "manifests" in document, "layers" in document or "config" in document
    if is_index and is_manifest:
        raise ManifestError("the manifest is ambiguous: it has both `manifests` and `layers` or `config`")
    if said in INDEX_TYPES | MANIFEST_TYPES:
        if (said in INDEX_TYPES) is not is_index and (is_index or is_manifest):
            raise ManifestError(f"the manifest says that it is {said}, and its content is of the other kind")
        return said
    if _text(document, "mediaType"):
        raise ManifestError(f"the manifest is of the type {_text(document, 'mediaType')!r}, which is not known here")
    if is_index:
        return OCI_INDEX
    if is_manifest:
        return OCI_MANIFEST
    raise ManifestError("this is not a manifest: it has neither `manifests` nor `config` and `layers`")


def _descriptors(document: dict[str, Any], name: str, role: str) -> tuple[Descriptor, ...]:
    items = document.get(name)
    if not isinstance(items, list):
        raise ManifestError(f"the manifest's `{name}` is missing or not a list")
    return tuple(_descriptor(item, role, f"{name}[{number}]") for number, item in enumerate(items))


def _descriptor(item: Any, role: str, where: str) -> Descriptor:
    if not isinstance(item, dict):
        raise ManifestError(f"the manifest's `{where}` is missing or not an object")
    try:
        digest = parse_digest(_text(item, "digest"))
    except ValueError as error:
        raise ManifestError(f"the manifest's `{where}` has no usable digest: {error}") from None
    size = item.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise ManifestError(f"the manifest's `{where}` has no usable size")
    urls = item.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ManifestError(f"the manifest's `{where}.urls` is not a list of texts")
    return Descriptor(
        digest=digest,
        size=size,
        media_type=_text(item, "mediaType"),
        role=role,
        platform=_platform(item.get("platform")),
        urls=tuple(urls),
        artifact_type=_text(item, "artifactType"),
        annotations=_annotations(item),
        data=_embedded(item, digest, size, where),
    )


def _embedded(item: dict[str, Any], digest: Digest, size: int, where: str) -> bytes | None:
    text = item.get("data")
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ManifestError(f"the manifest's `{where}.data` is not base64") from None
    if len(data) != size or digest_of(data, digest.algorithm) != digest:
        raise ManifestError(f"the manifest's `{where}.data` is not what its digest and size say")
    return data


def _platform(item: Any) -> Platform | None:
    if not isinstance(item, dict):
        return None
    system, architecture = _text(item, "os"), _text(item, "architecture")
    if not system or not architecture:
        return None
    return make_platform(system.lower(), architecture.lower(), _text(item, "variant").lower())


def _annotations(item: dict[str, Any]) -> dict[str, str]:
    found = item.get("annotations")
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""
