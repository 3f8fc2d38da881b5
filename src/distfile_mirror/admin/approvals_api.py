"""The REST API's operations on what waits for approval. What waits is listed by its state, `requested`."""

from django.http import HttpRequest
from ninja import Router

from distfile_mirror.admin.answers import CHANGING, DECLARING
from distfile_mirror.admin.documents import FileDocument, ProblemDocument, file_document
from distfile_mirror.admin.identity import actor_of
from distfile_mirror.admin.image_documents import ImageDetails, image_details
from distfile_mirror.admin.people_documents import ApprovalsBody, DecidedList, RejectionBody, decided_document
from distfile_mirror.catalog import approval
from distfile_mirror.catalog.image_listing import get_image
from distfile_mirror.catalog.image_parts import image_parts
from distfile_mirror.catalog.listing import get_file
from distfile_mirror.catalog.models import File, Image

router = Router()


@router.post(
    "/files/{int:file_id}/approve",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Approve a requested file",
    operation_id="approve_file",
)
def approve_file(request: HttpRequest, file_id: int) -> FileDocument:
    """It is due at once."""
    approval.approve(File, file_id, actor=actor_of(request))
    return file_document(get_file(file_id))


@router.post(
    "/files/{int:file_id}/reject",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Reject a requested file",
    operation_id="reject_file",
)
def reject_file(request: HttpRequest, file_id: int, body: RejectionBody) -> FileDocument:
    """Its declarers are shown the reason."""
    approval.reject(File, file_id, reason=body.reason, actor=actor_of(request))
    return file_document(get_file(file_id))


@router.post(
    "/images/{int:image_id}/approve",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Approve a requested image",
    operation_id="approve_image",
)
def approve_image(request: HttpRequest, image_id: int) -> ImageDetails:
    """It is due at once."""
    approval.approve(Image, image_id, actor=actor_of(request))
    return _image(image_id)


@router.post(
    "/images/{int:image_id}/reject",
    response={200: ImageDetails, CHANGING: ProblemDocument},
    summary="Reject a requested image",
    operation_id="reject_image",
)
def reject_image(request: HttpRequest, image_id: int, body: RejectionBody) -> ImageDetails:
    """Its declarers are shown the reason."""
    approval.reject(Image, image_id, reason=body.reason, actor=actor_of(request))
    return _image(image_id)


@router.post(
    "/approvals",
    response={200: DecidedList, DECLARING: ProblemDocument},
    summary="Approve or reject many",
    operation_id="decide",
)
def decide(request: HttpRequest, body: ApprovalsBody) -> DecidedList:
    """One that cannot be decided on does not stop the others; the answer says what became of each."""
    reason = body.reason if body.action == "reject" else None
    decided = approval.decide_many(body.files, body.images, reason=reason, actor=actor_of(request))
    return DecidedList(decided=list(map(decided_document, decided)))


def _image(image_id: int) -> ImageDetails:
    image = get_image(image_id)
    return image_details(image, image_parts(image))
