"""What somebody who answers for the use of others' software wants to be told."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from distfile_mirror.catalog.models import File, Hit, Image, Use
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, paged
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.model.states import State

DEFAULT_UNUSED_DAYS = 90


def uses_without_licence(*, project_id: int | None = None, cursor: str = "", limit: int = PAGE_SIZE) -> Page[Use]:
    """Return a page of uses of unknown licence, newest first. Raises InvalidInputError, UnavailableError."""
    rows = Use.objects.filter(licence="").select_related("file", "image__repository__registry", "project")
    if project_id is not None:
        rows = rows.filter(project_id=project_id)
    return paged(rows, cursor=cursor, limit=limit)


def unused_files(days: int, *, project: str = "", cursor: str = "", limit: int = PAGE_SIZE) -> Page[File]:
    """Return a page of files present, declared ``days`` ago or more, that no build asked for since. Raises as above."""
    return paged(_unused(File.objects.all(), ArtifactKind.FILE, days, project), cursor=cursor, limit=limit)


def unused_images(days: int, *, project: str = "", cursor: str = "", limit: int = PAGE_SIZE) -> Page[Image]:
    """Return a page of such images. Raises as above."""
    rows = Image.objects.select_related("repository__registry")
    return paged(_unused(rows, ArtifactKind.IMAGE, days, project), cursor=cursor, limit=limit)


def undeclared_uses(*, label: str = "", cursor: str = "", limit: int = PAGE_SIZE) -> Page[Hit]:
    """Return a page of what builds got under a label that is no project which declared a use of it, the latest first.

    Raises:
        InvalidInputError, UnavailableError.
    """
    declared = Use.objects.filter(project__name=OuterRef("label"))
    is_file = Q(kind=ArtifactKind.FILE.value)
    rows = Hit.objects.exclude(label="").filter(
        (is_file & ~Exists(declared.filter(file_id=OuterRef("artifact_id"))))
        | (~is_file & ~Exists(declared.filter(image_id=OuterRef("artifact_id"))))
    )
    if label:
        rows = rows.filter(label=label)
    return paged(rows, cursor=cursor, limit=limit, order="-last_at")


def artifacts_of(hits: list[Hit]) -> dict[tuple[str, int], File | Image]:
    """Return the artifacts that ``hits`` are of, by kind and key."""
    found: dict[tuple[str, int], File | Image] = {}
    keys = {kind: [hit.artifact_id for hit in hits if hit.kind == kind] for kind in ArtifactKind}
    for file in File.objects.filter(pk__in=keys[ArtifactKind.FILE]):
        found[ArtifactKind.FILE.value, file.pk] = file
    for image in Image.objects.filter(pk__in=keys[ArtifactKind.IMAGE]).select_related("repository__registry"):
        found[ArtifactKind.IMAGE.value, image.pk] = image
    return found


def _unused(rows: QuerySet, kind: ArtifactKind, days: int, project: str) -> QuerySet:  # type: ignore[type-arg]
    since = timezone.now() - timedelta(days=days)
    served = Hit.objects.filter(kind=kind.value, artifact_id=OuterRef("pk"), last_at__gte=since)
    rows = rows.filter(state=State.PRESENT, created_at__lt=since).exclude(Exists(served))
    if project:
        rows = rows.filter(pk__in=Use.objects.filter(project__name=project).values(f"{kind}_id"))
    return rows
