"""The REST API's operations on container images, registries and repositories."""
# ruff: noqa: ARG001 - every operation is given the request, under that name

from http import HTTPStatus

from django.http import HttpRequest
from ninja import Query, Router, Status

from distfile_mirror.admin.access import refuse_unless_own
from distfile_mirror.admin.answers import BY_ID, CHANGING, DECLARING, READING, refuse_unknown_parameters
from distfile_mirror.admin.documents import Blocking, PageQuery, ProblemDocument
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.image_declarations import declare_what_came
from distfile_mirror.admin.image_documents import (
    ImageDeclarationBody,
    ImageDetails,
    ImageList,
    ImageListQuery,
    PlatformsBody,
    ReferenceBody,
    RegistryDetails,
    RegistryDocument,
    RegistryList,
    RepositoryDetails,
    RepositoryDocument,
    Resolution,
    ResolvedProblemDocument,
    image_details,
    image_document,
    registry_facts,
    repository_facts,
    resolution,
)
from distfile_mirror.admin.tags import read_reference, resolve
from distfile_mirror.catalog import image_listing, moderate
from distfile_mirror.catalog.image_listing import ImageFilters
from distfile_mirror.catalog.image_parts import image_parts
from distfile_mirror.catalog.models import Image
from distfile_mirror.catalog.platform_choice import choose_platforms

router = Router()


@router.post(
    "/images",
    response={
        200: ImageDetails,
        201: ImageDetails,
        422: ResolvedProblemDocument,
        (DECLARING | {502}) - {422}: ProblemDocument,
    },
    summary="Declare an image",
    operation_id="declare_image",
)
def declare(request: HttpRequest, body: ImageDeclarationBody) -> Status[ImageDetails]:
    """201: it is new, and will be fetched. 200: it is known already; what this says further was added."""
    declared = declare_what_came(body, actor=actor_of(request), approved=may_approve(request))
    status = HTTPStatus.CREATED if declared.created else HTTPStatus.OK
    return Status(status.value, _details(declared.image.pk))


@router.post(
    "/images/resolve",
    response={200: Resolution, (CHANGING | {502}) - {404}: ProblemDocument},
    summary="Ask what a tag means now",
    operation_id="resolve_tag",
)
def resolve_tag(request: HttpRequest, body: ReferenceBody) -> Resolution:
    """The registry is asked; nothing is recorded."""
    return resolution(resolve(read_reference(body.reference)))


@router.get(
    "/images",
    response={200: ImageList, READING: ProblemDocument},
    summary="List images, newest first",
    operation_id="list_images",
)
def list_(request: HttpRequest, query: Query[ImageListQuery]) -> ImageList:
    """A page of the images for which every given condition holds."""
    refuse_unknown_parameters(request, ImageListQuery)
    filters = ImageFilters(**query.model_dump(exclude={"cursor", "limit"}))
    page = image_listing.list_images(filters, cursor=query.cursor, limit=query.limit)
    return ImageList(images=list(map(image_document, page.items)), next_cursor=page.next_cursor or None)


@router.get(
    "/images/{int:image_id}",
    response={200: ImageDetails, BY_ID: ProblemDocument},
    summary="Show an image",
    operation_id="show_image",
)
def show(request: HttpRequest, image_id: int) -> ImageDetails:
    """All that is known of an image: its layers, or the platforms of an index."""
    return _details(image_id)


@router.post(
    "/images/{int:image_id}/platforms",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Choose further platforms of an index",
    operation_id="choose_platforms",
)
def choose(request: HttpRequest, image_id: int, body: PlatformsBody) -> ImageDetails:
    """They are fetched too; what it had is served on."""
    choose_platforms(image_id, body.platforms, actor=actor_of(request))
    return _details(image_id)


@router.post(
    "/images/{int:image_id}/retry",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Try a failed image again",
    operation_id="retry_image",
)
def retry(request: HttpRequest, image_id: int) -> ImageDetails:
    """It is due at once. Declarers may do this to what they declared."""
    refuse_unless_own(request, image_listing.get_image(image_id))
    moderate.retry(Image, image_id, actor=actor_of(request))
    return _details(image_id)


@router.post(
    "/images/{int:image_id}/block",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Stop serving an image",
    operation_id="block_image",
)
def block(request: HttpRequest, image_id: int, blocking: Blocking) -> ImageDetails:
    """Its bytes are kept; clients are refused with the reason."""
    moderate.block(Image, image_id, reason=blocking.reason, actor=actor_of(request))
    return _details(image_id)


@router.post(
    "/images/{int:image_id}/unblock",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Serve a blocked image again",
    operation_id="unblock_image",
)
def unblock(request: HttpRequest, image_id: int) -> ImageDetails:
    """It is served as before."""
    moderate.unblock(Image, image_id, actor=actor_of(request))
    return _details(image_id)


@router.get(
    "/registries",
    response={200: RegistryList, READING: ProblemDocument},
    summary="List registries, newest first",
    operation_id="list_registries",
)
def registries(request: HttpRequest, query: Query[PageQuery]) -> RegistryList:
    """Those of which an image was declared."""
    refuse_unknown_parameters(request, PageQuery)
    page = image_listing.list_registries(cursor=query.cursor, limit=query.limit)
    found = [RegistryDocument(**registry_facts(registry)) for registry in page.items]
    return RegistryList(registries=found, next_cursor=page.next_cursor or None)


@router.get(
    "/registries/{int:registry_id}",
    response={200: RegistryDetails, BY_ID: ProblemDocument},
    summary="Show a registry",
    operation_id="show_registry",
)
def registry(request: HttpRequest, registry_id: int, query: Query[PageQuery]) -> RegistryDetails:
    """With a page of its repositories."""
    refuse_unknown_parameters(request, PageQuery)
    facts = registry_facts(image_listing.get_registry(registry_id))
    page = image_listing.list_repositories(registry_id, cursor=query.cursor, limit=query.limit)
    found = [RepositoryDocument(**repository_facts(each)) for each in page.items]
    return RegistryDetails(**facts, repositories=found, next_cursor=page.next_cursor or None)


@router.get(
    "/repositories/{int:repository_id}",
    response={200: RepositoryDetails, BY_ID: ProblemDocument},
    summary="Show a repository",
    operation_id="show_repository",
)
def repository(request: HttpRequest, repository_id: int, query: Query[PageQuery]) -> RepositoryDetails:
    """With a page of its images."""
    refuse_unknown_parameters(request, PageQuery)
    found = image_listing.get_repository(repository_id)
    filters = ImageFilters(registry=found.registry.name, repository=found.name)
    page = image_listing.list_images(filters, cursor=query.cursor, limit=query.limit)
    images = list(map(image_document, page.items))
    return RepositoryDetails(**repository_facts(found), image_list=images, next_cursor=page.next_cursor or None)


def _details(image_id: int) -> ImageDetails:
    image = image_listing.get_image(image_id)
    return image_details(image, image_parts(image))
