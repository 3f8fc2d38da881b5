"""Lists of images, repositories and registries, newest first."""

from dataclasses import dataclass
from typing import TypeVar

from django.db import models
from django.db.models import Count, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Concat

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import Image, Registry, Repository
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, of_project, of_state, paged
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.errors import NotFoundError
from distfile_mirror.model.digests import parse_digest
from distfile_mirror.model.references import normalise_registry

Holder = TypeVar("Holder", Registry, Repository)


@dataclass(frozen=True, slots=True)
class ImageFilters:
    """What to list; empty means all. ``q``: a part of the reference or the digest; the others exactly."""

    q: str = ""
    state: str = ""
    project: str = ""
    registry: str = ""
    repository: str = ""
    digest: str = ""


def list_images(filters: ImageFilters, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page[Image]:
    """Return the page that begins at ``cursor``. Raises InvalidInputError, UnavailableError."""
    rows = _filtered(filters).select_related("repository__registry").prefetch_related("uses__project")
    return paged(rows, cursor=cursor, limit=limit)


def get_image(image_id: int) -> Image:
    """Return an image with its uses. Raises NotFoundError, UnavailableError."""
    rows = Image.objects.select_related("repository__registry").prefetch_related("uses__project")
    return _get(rows, image_id, "image")


def list_registries(*, cursor: str = "", limit: int = PAGE_SIZE) -> Page[Registry]:
    """Return the registries with their ``image_count`` and ``bytes``. Raises InvalidInputError, UnavailableError."""
    return paged(_counted(Registry.objects.all(), "repositories__images"), cursor=cursor, limit=limit)


def get_registry(registry_id: int) -> Registry:
    """Return a registry, counted as above. Raises NotFoundError, UnavailableError."""
    return _get(_counted(Registry.objects.all(), "repositories__images"), registry_id, "registry")


def list_repositories(registry_id: int, *, cursor: str = "", limit: int = PAGE_SIZE) -> Page[Repository]:
    """Return the repositories of a registry, counted as above. Raises InvalidInputError, UnavailableError."""
    rows = Repository.objects.filter(registry=registry_id).select_related("registry")
    return paged(_counted(rows, "images"), cursor=cursor, limit=limit)


def get_repository(repository_id: int) -> Repository:
    """Return a repository, counted as above. Raises NotFoundError, UnavailableError."""
    rows = Repository.objects.select_related("registry")
    return _get(_counted(rows, "images"), repository_id, "repository")


def stored_image_bytes() -> int:
    """Return the bytes of all images; what several share is counted for each. Raises UnavailableError."""
    with available():
        return Image.objects.aggregate(total=Sum("size"))["total"] or 0


def _counted(rows: QuerySet[Holder], images: str) -> QuerySet[Holder]:
    """Add how many images there are, and their bytes; what several images share is counted for each."""
    return rows.annotate(image_count=Count(images), bytes=Coalesce(Sum(f"{images}__size"), 0))


Row = TypeVar("Row", bound=models.Model)


def _get(rows: QuerySet[Row], key: int, name: str) -> Row:
    with available():
        found = rows.filter(pk=key).first()
    if found is None:
        message = f"there is no {name} {key}"
        raise NotFoundError(message)
    return found


def _filtered(filters: ImageFilters) -> QuerySet[Image]:
    rows = of_project(of_state(Image.objects.all(), filters.state), filters.project)
    if filters.q:
        parts = ("repository__registry__name", Value("/"), "repository__name", Value("@"), "digest")
        named = rows.annotate(reference=Concat(*parts, output_field=models.TextField()))
        rows = named.filter(reference__icontains=filters.q)
    problems = Problems()
    if filters.registry:
        rows = rows.filter(
            repository__registry__name=problems.collect("registry", normalise_registry, filters.registry)
        )
    if filters.repository:
        rows = rows.filter(repository__name=filters.repository)
    if filters.digest:
        rows = rows.filter(digest=str(problems.collect("digest", parse_digest, filters.digest)))
    problems.raise_if_any()
    return rows
