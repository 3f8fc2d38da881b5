"""A project's artifacts as a CycloneDX 1.6 document, with hashes, licences and package URLs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from distfile_mirror import __version__
from distfile_mirror.catalog.models import File, Image, Use

_HASHES = {
    "md5": HashAlgorithm.MD5,
    "sha1": HashAlgorithm.SHA_1,
    "sha256": HashAlgorithm.SHA_256,
    "sha384": HashAlgorithm.SHA_384,
    "sha512": HashAlgorithm.SHA_512,
}


@dataclass(slots=True)
class _Gathered:
    """An artifact with what all its uses in the project say."""

    artifact: File | Image
    reasons: list[str] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)


def cyclonedx(project: str, uses: Iterable[Use]) -> str:
    """Write what ``uses`` of ``project`` name as a CycloneDX 1.6 JSON document; an artifact is one component."""
    bom = Bom(components=[_component(each) for each in _gathered(uses)])
    whole = Component(name=project, type=ComponentType.APPLICATION, bom_ref="project")
    bom.metadata = BomMetaData(component=whole)
    tool = Component(name="distfile-mirror", version=__version__, type=ComponentType.APPLICATION)
    bom.metadata.tools.components.add(tool)
    bom.register_dependency(whole, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def purl_of(artifact: File | Image) -> PackageURL:
    """Return the package URL: ``generic`` for a file by its address, ``oci`` for an image by its digest."""
    if isinstance(artifact, File):
        qualifiers = {"download_url": artifact.uri}
        if artifact.sha256:
            qualifiers["checksum"] = f"sha256:{artifact.sha256}"
        return PackageURL("generic", name=_basename(artifact.uri), qualifiers=qualifiers)
    repository = artifact.repository
    name = repository.name.rpartition("/")[2].lower()
    qualifiers = {"repository_url": f"{repository.registry.name}/{repository.name}"}
    if artifact.tag:
        qualifiers["tag"] = artifact.tag
    return PackageURL("oci", name=name, version=artifact.digest, qualifiers=qualifiers)


def _gathered(uses: Iterable[Use]) -> list[_Gathered]:
    found: dict[tuple[str, int], _Gathered] = {}
    for use in uses:
        artifact = use.file or use.image
        if artifact is None:
            continue
        each = found.setdefault((type(artifact).__name__, artifact.pk), _Gathered(artifact))
        each.reasons.append(use.reason)
        if use.licence and use.licence not in each.licences:
            each.licences.append(use.licence)
    return list(found.values())


def _component(gathered: _Gathered) -> Component:
    artifact = gathered.artifact
    is_file = isinstance(artifact, File)
    purl = purl_of(artifact)
    return Component(
        name=purl.name,
        type=ComponentType.FILE if is_file else ComponentType.CONTAINER,
        version=purl.version,
        bom_ref=f"{'file' if is_file else 'image'}-{artifact.pk}",
        purl=purl,
        hashes=_hashes(artifact),
        licenses=_licences(gathered.licences),
        external_references=[_reference(artifact)],
        properties=[
            Property(name="distfile-mirror:reason", value=reason) for reason in dict.fromkeys(gathered.reasons)
        ],
    )


def _licences(expressions: Sequence[str]) -> list[LicenseExpression]:
    """Return one expression, of which there may be no more; what different uses say holds together."""
    if len(expressions) > 1:
        return [LicenseExpression(" AND ".join(f"({each})" for each in expressions))]
    return [LicenseExpression(each) for each in expressions]


def _hashes(artifact: File | Image) -> list[HashType]:
    if isinstance(artifact, File):
        known = artifact.digests or artifact.expected
    else:
        algorithm, _colon, digest = artifact.digest.partition(":")
        known = {algorithm: digest}
    return [HashType(alg=_HASHES[name], content=digest) for name, digest in known.items() if name in _HASHES]


def _reference(artifact: File | Image) -> ExternalReference:
    if isinstance(artifact, File):
        return ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(artifact.uri))
    return ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"docker://{artifact}"))


def _basename(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc
