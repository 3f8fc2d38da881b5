"""The REST API under ``/api/v1/``. It says what the catalog says; nothing is decided here.

Who may ask what stands in admin.rights, and has been looked at before any of this is called.
"""
# ruff: noqa: ARG001 - every operation is given the request, under that name

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI, Query, Status
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from distfile_mirror import __version__
from distfile_mirror.admin.access import refuse_unless_own
from distfile_mirror.admin.answers import BY_ID, CHANGING, DECLARING, READING, refuse_unknown_parameters
from distfile_mirror.admin.approvals_api import router as approvals_router
from distfile_mirror.admin.audit_api import router as audit_router
from distfile_mirror.admin.bulk_api import router as bulk_router
from distfile_mirror.admin.documents import (
    Amendment,
    Blocking,
    Declaration,
    FileDocument,
    FileList,
    ListQuery,
    ProblemDocument,
    file_document,
)
from distfile_mirror.admin.error_pages import OUR_FAULT, log_fault
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.image_documents import resolution
from distfile_mirror.admin.images_api import router as images_router
from distfile_mirror.admin.misses_api import router as misses_router
from distfile_mirror.admin.overview_api import router as overview_router
from distfile_mirror.admin.people_api import router as people_router
from distfile_mirror.admin.problems import PROBLEM_TYPE, Problem, explain, problem_response
from distfile_mirror.admin.projects_api import router as projects_router
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.tags import TagAloneError
from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.care_listing import care_of
from distfile_mirror.catalog.declare import FileDeclaration, declare_file
from distfile_mirror.catalog.listing import Filters, get_file, list_files
from distfile_mirror.catalog.models import File
from distfile_mirror.errors import InvalidInputError


class MirrorAPI(NinjaAPI):
    """The API, whose OpenAPI document gives problems the media type that they have, and tells of tokens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._schemas: dict[str | None, OpenAPISchema] = {}

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Return the document, made once: that takes a second."""
        if path_prefix not in self._schemas:
            self._schemas[path_prefix] = self._make_schema(path_prefix, path_params)
        return self._schemas[path_prefix]

    def _make_schema(self, path_prefix: str | None, path_params: dict[str, Any] | None) -> OpenAPISchema:
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        for operation in (each for path in schema["paths"].values() for each in path.values()):
            for status, response in operation["responses"].items():
                if int(status) >= HTTPStatus.BAD_REQUEST:
                    response["content"] = {PROBLEM_TYPE: response["content"]["application/json"]}
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}, {}]  # without a sign-in, nothing is asked for
        return schema


api = MirrorAPI(
    title="Distfile Mirror",
    version=__version__,
    description="Declare what builds download, and see what became of it.",
    urls_namespace="api",
    docs_url=None,  # the page would load its scripts from another host
)


@api.post(
    "/files",
    response={200: FileDocument, 201: FileDocument, DECLARING: ProblemDocument},
    summary="Declare a file",
    operation_id="declare_file",
)
def declare(request: HttpRequest, declaration: Declaration) -> Status[FileDocument]:
    """201: it is new, and will be fetched. 200: it is known already; what this says further was added."""
    context = current_context()
    declared = declare_file(
        FileDeclaration(**declaration.model_dump()),
        actor=actor_of(request),
        approved=may_approve(request),
        digests_of=context.digests_of,
    )
    status = HTTPStatus.CREATED if declared.created else HTTPStatus.OK
    response = file_document(get_file(declared.file.pk))
    return Status(status.value, response)


@api.get(
    "/files",
    response={200: FileList, READING: ProblemDocument},
    summary="List files",
    operation_id="list_files",
)
def list_(request: HttpRequest, query: Query[ListQuery]) -> FileList:
    """A page of the files for which every given condition holds."""
    refuse_unknown_parameters(request, ListQuery)
    filters = Filters(**query.model_dump(exclude={"cursor", "limit", "order"}))
    page = list_files(filters, order=query.order, cursor=query.cursor, limit=query.limit)
    cares = care_of(page.items)
    return FileList(
        files=[file_document(file, cares[file.pk]) for file in page.items], next_cursor=page.next_cursor or None
    )


@api.get(
    "/files/{int:file_id}",
    response={200: FileDocument, BY_ID: ProblemDocument},
    summary="Show a file",
    operation_id="show_file",
)
def show(request: HttpRequest, file_id: int) -> FileDocument:
    """All that is known of a file."""
    return file_document(get_file(file_id))


@api.patch(
    "/files/{int:file_id}",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Amend the expected checksums",
    operation_id="amend_file",
)
def amend(request: HttpRequest, file_id: int, amendment: Amendment) -> FileDocument:
    """Only what is not stored yet can be amended; what had failed is tried again."""
    refuse_unless_own(request, get_file(file_id))
    moderate.amend(file_id, checksums=amendment.checksums, actor=actor_of(request), approved=may_approve(request))
    return file_document(get_file(file_id))


@api.post(
    "/files/{int:file_id}/retry",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Try a failed download again",
    operation_id="retry_file",
)
def retry(request: HttpRequest, file_id: int) -> FileDocument:
    """It is due at once. Declarers may do this to what they declared."""
    refuse_unless_own(request, get_file(file_id))
    moderate.retry(File, file_id, actor=actor_of(request))
    return file_document(get_file(file_id))


@api.post(
    "/files/{int:file_id}/block",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Stop serving a file",
    operation_id="block_file",
)
def block(request: HttpRequest, file_id: int, blocking: Blocking) -> FileDocument:
    """Its bytes are kept; builds are answered 451 with the reason."""
    moderate.block(File, file_id, reason=blocking.reason, actor=actor_of(request))
    return file_document(get_file(file_id))


@api.post(
    "/files/{int:file_id}/unblock",
    response={200: FileDocument, CHANGING: ProblemDocument},
    summary="Serve a blocked file again",
    operation_id="unblock_file",
)
def unblock(request: HttpRequest, file_id: int) -> FileDocument:
    """It is served as before."""
    moderate.unblock(File, file_id, actor=actor_of(request))
    return file_document(get_file(file_id))


for _router in (
    bulk_router,
    images_router,
    misses_router,
    projects_router,
    overview_router,
    approvals_router,
    audit_router,
    people_router,
):
    api.add_router("", _router)


@api.exception_handler(ValidationError)
def _refuse_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields: dict[str, list[str]] = {}
    for each in error.errors:
        fields.setdefault(_field_name(each["loc"]), []).append(each["msg"])
    return problem_response(request, explain(InvalidInputError(fields)) or OUR_FAULT)


@api.exception_handler(TagAloneError)
def _refuse_tag(request: HttpRequest, error: TagAloneError) -> HttpResponse:
    resolved = resolution(error.resolved).model_dump() if error.resolved else None
    problem = explain(error) or OUR_FAULT
    return problem_response(request, replace(problem, further={"resolved": resolved}))


@api.exception_handler(HttpError)
def _refuse(request: HttpRequest, error: HttpError) -> HttpResponse:
    detail = "the body is not JSON" if error.status_code == HTTPStatus.BAD_REQUEST else error.message
    return problem_response(request, Problem(HTTPStatus(error.status_code), detail))


@api.exception_handler(Exception)
def _explain(request: HttpRequest, error: Exception) -> HttpResponse:
    problem = explain(error)
    if problem is None:
        log_fault(request, error)
    return problem_response(request, problem or OUR_FAULT)


def _field_name(location: tuple[str | int, ...]) -> str:
    """Name a field as whoever sent it knows it: without where it stood and our parameter's name."""
    source, *path = location
    inside = path[1:] if source == "body" else path
    return ".".join(map(str, inside)) or str(source)
