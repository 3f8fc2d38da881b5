"""From what somebody says of an image, by API or by form, to its declaration."""

from distfile_mirror.admin.image_documents import ImageDeclarationBody
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.tags import FIELD, read_reference, refuse_tag_alone, resolve
from distfile_mirror.catalog.declare_image import DeclaredImage, ImageDeclaration, declare_image
from distfile_mirror.errors import InvalidInputError


def declare_what_came(body: ImageDeclarationBody, *, actor: str, approved: bool) -> DeclaredImage:
    """Declare an image; a tag alone is resolved if that is asked for. ``approved`` as in catalog.declare_image.

    Raises:
        InvalidInputError: for wrong fields, or if it is not clear what is meant; TagAloneError, if it is a tag.
        ConflictError: for what was rejected.
        TransientFetchError: if a tag was to be resolved and the registry does not answer.
    """
    platforms = current_context().default_platforms
    return declare_image(_declaration(body), actor=actor, approved=approved, default_platforms=platforms)


def _declaration(body: ImageDeclarationBody) -> ImageDeclaration:
    shared = body.model_dump(include={"platforms", "with_referrers", "project", "reason", "licence"})
    apart = body.model_dump(include={"registry", "repository", "digest"})
    if not body.reference:
        if not any(apart.values()):
            raise InvalidInputError({FIELD: ["name the image by its reference, or by registry, repository and digest"]})
        return ImageDeclaration(**apart, **shared)
    both = {name: ["the reference says it already; give one of them"] for name, value in apart.items() if value}
    if both:
        raise InvalidInputError(both)
    reference, evidence = read_reference(body.reference), []
    if reference.digest is None:
        if not body.resolve:
            raise refuse_tag_alone(reference)
        resolved = resolve(reference)
        reference, evidence = resolved.reference, [resolved.evidence]
    return ImageDeclaration(
        registry=reference.registry,
        repository=reference.repository,
        digest=str(reference.digest),
        tag=reference.tag,
        evidence=evidence,
        **shared,
    )
