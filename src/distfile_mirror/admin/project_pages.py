"""Projects, what each uses, and what those who answer for it want to be told."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from distfile_mirror.admin.exports import project_csv, project_sbom
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.projects import (
    get_project,
    holdings,
    last_served,
    licences_of_project,
    list_projects,
    uses_of_project,
)
from distfile_mirror.catalog.reports import (
    DEFAULT_UNUSED_DAYS,
    artifacts_of,
    undeclared_uses,
    unused_files,
    unused_images,
    uses_without_licence,
)
from distfile_mirror.catalog.seen import ArtifactKind

MAX_DAYS = 36_500


@require_safe
def projects(request: HttpRequest) -> HttpResponse:
    """Show the projects by name."""
    q, cursor = request.GET.get("q", "").strip(), request.GET.get("cursor", "")
    page = list_projects(q=q, cursor=cursor)
    held = holdings(page.items)
    shown = {"page": page, "rows": [(each, held[each.pk]) for each in page.items], "q": q, "cursor": cursor}
    return render(request, "mirror/projects.html", shown)


@require_safe
def project(request: HttpRequest, project_id: int) -> HttpResponse:
    """Show what a project uses."""
    found = get_project(project_id)
    cursor = request.GET.get("cursor", "")
    page = uses_of_project(project_id, cursor=cursor)
    served = last_served(page.items)
    rows = []
    for use in page.items:
        kind = ArtifactKind.FILE if use.file_id else ArtifactKind.IMAGE
        rows.append((use, use.file or use.image, kind, served.get((kind, use.file_id or use.image_id or 0))))
    shown = {
        "project": found,
        "held": holdings([found])[found.pk],
        "licences": licences_of_project(project_id),
        "page": page,
        "rows": rows,
        "cursor": cursor,
    }
    return render(request, "mirror/project.html", shown)


@require_safe
def export_csv(_request: HttpRequest, project_id: int) -> HttpResponseBase:
    """Give a project's uses as CSV."""
    return project_csv(get_project(project_id))


@require_safe
def export_sbom(_request: HttpRequest, project_id: int) -> HttpResponse:
    """Give a project's artifacts as CycloneDX."""
    return project_sbom(get_project(project_id))


@require_safe
def unknown_licences(request: HttpRequest) -> HttpResponse:
    """Show the uses of which nobody knows the licence."""
    cursor = request.GET.get("cursor", "")
    page = uses_without_licence(cursor=cursor)
    return render(request, "mirror/unknown_licences.html", {"page": page, "cursor": cursor})


@require_safe
def unused(request: HttpRequest) -> HttpResponse:
    """Show what is stored and no build asked for in so many days."""
    days = days_of(request.GET.get("days", ""))
    name, cursor = request.GET.get("project", ""), request.GET.get("cursor", "")
    is_images = request.GET.get("kind") == ArtifactKind.IMAGE
    find = unused_images if is_images else unused_files
    page = find(days, project=name, cursor=cursor)
    rows = [(each, f"/{'files' if isinstance(each, File) else 'images'}/{each.pk}") for each in page.items]
    shown = {"page": page, "rows": rows, "days": days, "is_images": is_images, "project": name, "cursor": cursor}
    return render(request, "mirror/unused.html", shown)


@require_safe
def undeclared(request: HttpRequest) -> HttpResponse:
    """Show what builds got under a label that declared no use of it."""
    label, cursor = request.GET.get("label", ""), request.GET.get("cursor", "")
    page = undeclared_uses(label=label, cursor=cursor)
    artifacts = artifacts_of(page.items)
    rows = [(hit, artifacts.get((hit.kind, hit.artifact_id))) for hit in page.items]
    return render(request, "mirror/undeclared.html", {"page": page, "rows": rows, "label": label, "cursor": cursor})


def days_of(text: str) -> int:
    """Read a number of days; the default where it is none that makes sense."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_DAYS))
    return int(text) if is_number and 0 < int(text) <= MAX_DAYS else DEFAULT_UNUSED_DAYS
