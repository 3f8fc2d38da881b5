"""The REST API's operations on projects and the reports on what they use."""

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router

from distfile_mirror.admin import exports
from distfile_mirror.admin.answers import BY_ID, READING, document_of, refuse_unknown_parameters
from distfile_mirror.admin.artifact_documents import artifact_document, artifact_use_document
from distfile_mirror.admin.documents import PageQuery, ProblemDocument
from distfile_mirror.admin.project_documents import (
    ArtifactList,
    HitList,
    LicenceCount,
    ProjectDetails,
    ProjectDocument,
    ProjectList,
    ProjectListQuery,
    ServedUseList,
    UndeclaredQuery,
    UnusedQuery,
    UseList,
    hit_documents,
    project_facts,
    served_use_document,
)
from distfile_mirror.catalog import projects, reports
from distfile_mirror.catalog.seen import ArtifactKind

router = Router()


@router.get(
    "/projects",
    response={200: ProjectList, READING: ProblemDocument},
    summary="List projects by name",
    operation_id="list_projects",
)
def list_(request: HttpRequest, query: Query[ProjectListQuery]) -> ProjectList:
    """With how much each uses."""
    refuse_unknown_parameters(request, ProjectListQuery)
    page = projects.list_projects(q=query.q, cursor=query.cursor, limit=query.limit)
    held = projects.holdings(page.items)
    found = [ProjectDocument(**project_facts(each, held[each.pk])) for each in page.items]
    return ProjectList(projects=found, next_cursor=page.next_cursor or None)


@router.get(
    "/projects/{int:project_id}",
    response={200: ProjectDetails, BY_ID: ProblemDocument},
    summary="Show a project",
    operation_id="show_project",
)
def show(request: HttpRequest, project_id: int) -> ProjectDetails:  # noqa: ARG001
    """How much it uses, and under which licences."""
    project = projects.get_project(project_id)
    held = projects.holdings([project])[project.pk]
    counts = [LicenceCount(licence=name, uses=count) for name, count in projects.licences_of_project(project_id)]
    return ProjectDetails(**project_facts(project, held), licences=counts)


@router.get(
    "/projects/{int:project_id}/uses",
    response={200: ServedUseList, BY_ID: ProblemDocument},
    summary="List what a project uses, newest first",
    operation_id="list_project_uses",
)
def uses(request: HttpRequest, project_id: int, query: Query[PageQuery]) -> ServedUseList:
    """An artifact is in it once for each reason and licence."""
    refuse_unknown_parameters(request, PageQuery)
    projects.get_project(project_id)
    page = projects.uses_of_project(project_id, cursor=query.cursor, limit=query.limit)
    served = projects.last_served(page.items)
    found = [served_use_document(use, served) for use in page.items]
    return ServedUseList(uses=found, next_cursor=page.next_cursor or None)


@router.get(
    "/projects/{int:project_id}/export.csv",
    response={200: None, BY_ID: ProblemDocument},
    summary="Export what a project uses as CSV",
    operation_id="export_project_csv",
    openapi_extra=document_of("text/csv"),
)
def export_csv(request: HttpRequest, project_id: int) -> HttpResponseBase:  # noqa: ARG001
    """A line for each use; cells that a spreadsheet would take for a formula begin with an apostrophe."""
    return exports.project_csv(projects.get_project(project_id))


@router.get(
    "/projects/{int:project_id}/sbom.cdx.json",
    response={200: None, BY_ID: ProblemDocument},
    summary="Export what a project uses as CycloneDX 1.6",
    operation_id="export_project_sbom",
    openapi_extra=document_of(exports.CYCLONEDX_TYPE, kind="object"),
)
def export_sbom(request: HttpRequest, project_id: int) -> HttpResponseBase:  # noqa: ARG001
    """A component for each artifact, with hashes, licences and package URL."""
    return exports.project_sbom(projects.get_project(project_id))


@router.get(
    "/reports/unknown-licences",
    response={200: UseList, READING: ProblemDocument},
    summary="List uses of which nobody knows the licence",
    operation_id="report_unknown_licences",
)
def unknown_licences(request: HttpRequest, query: Query[PageQuery]) -> UseList:
    """The newest first."""
    refuse_unknown_parameters(request, PageQuery)
    page = reports.uses_without_licence(cursor=query.cursor, limit=query.limit)
    return UseList(uses=list(map(artifact_use_document, page.items)), next_cursor=page.next_cursor or None)


@router.get(
    "/reports/unused",
    response={200: ArtifactList, READING: ProblemDocument},
    summary="List what is stored and no build asked for in so many days",
    operation_id="report_unused",
)
def unused(request: HttpRequest, query: Query[UnusedQuery]) -> ArtifactList:
    """The newest first."""
    refuse_unknown_parameters(request, UnusedQuery)
    find = reports.unused_images if query.kind is ArtifactKind.IMAGE else reports.unused_files
    page = find(query.days, project=query.project, cursor=query.cursor, limit=query.limit)
    found = [artifact_document(each) for each in page.items]
    return ArtifactList(artifacts=found, next_cursor=page.next_cursor or None)


@router.get(
    "/reports/undeclared",
    response={200: HitList, READING: ProblemDocument},
    summary="List what builds got under a label that declared no use of it",
    operation_id="report_undeclared",
)
def undeclared(request: HttpRequest, query: Query[UndeclaredQuery]) -> HitList:
    """The latest first."""
    refuse_unknown_parameters(request, UndeclaredQuery)
    page = reports.undeclared_uses(label=query.label, cursor=query.cursor, limit=query.limit)
    found = hit_documents(page.items, reports.artifacts_of(page.items))
    return HitList(hits=found, next_cursor=page.next_cursor or None)
