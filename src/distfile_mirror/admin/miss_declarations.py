"""Declaring what was asked for in vain: many misses, one project, reason and licence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.tags import read_reference, resolve
from distfile_mirror.catalog.declare import FileDeclaration, declare_file
from distfile_mirror.catalog.declare_image import ImageDeclaration, declare_image
from distfile_mirror.catalog.misses import MissOutcome, declare_misses
from distfile_mirror.catalog.models import Miss
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.catalog.uses import check_use


@dataclass(frozen=True, slots=True)
class MissUse:
    """What all of them are declared for."""

    project: str
    reason: str
    licence: str = ""


def declare_all(misses: Sequence[Miss], use: MissUse, *, actor: str, approved: bool) -> list[MissOutcome]:
    """Declare each of ``misses``; an image asked for by tag by the digest that the tag has now, kept as evidence.

    Raises:
        InvalidInputError: if project, reason or licence are wrong, and nothing was declared.
    """
    problems = Problems()
    check_use(problems, use.project, use.reason, use.licence)
    problems.raise_if_any()
    context = current_context()

    def file(uri: str) -> int:
        declared = declare_file(
            FileDeclaration(uri, **asdict(use)), actor=actor, approved=approved, digests_of=context.digests_of
        )
        return declared.file.pk

    def image(name: str) -> int:
        reference, evidence = read_reference(name), []
        if reference.digest is None:
            resolved = resolve(reference)
            reference, evidence = resolved.reference, [resolved.evidence]
        declaration = ImageDeclaration(
            registry=reference.registry,
            repository=reference.repository,
            digest=str(reference.digest),
            tag=reference.tag,
            evidence=evidence,
            **asdict(use),
        )
        declared = declare_image(
            declaration, actor=actor, approved=approved, default_platforms=context.default_platforms
        )
        return declared.image.pk

    return declare_misses(misses, {ArtifactKind.FILE: file, ArtifactKind.IMAGE: image})
