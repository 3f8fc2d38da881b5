"""The REST API's summary of it all: what the home page has at its top."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from distfile_mirror.admin.answers import READING
from distfile_mirror.admin.documents import ProblemDocument
from distfile_mirror.catalog.listing import count_by_state
from distfile_mirror.catalog.misses import count_open_since
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.catalog.overview import totals
from distfile_mirror.model.states import State

MISSED_WITHIN = timedelta(days=1)

router = Router()


class StoredTotals(Schema):
    """How much is stored. What several artifacts share is counted for each."""

    files: int
    images: int
    stored_bytes: int
    projects: int


class OverviewDocument(Schema):
    """How much there is, and how it goes."""

    stored: StoredTotals
    files: dict[State, int] = Field(description="How many there are in each state.")
    images: dict[State, int] = Field(description="How many there are in each state.")
    missed_last_day: int = Field(description="Asked for in vain within a day, still missing and not dismissed.")


@router.get(
    "/overview",
    response={200: OverviewDocument, READING: ProblemDocument},
    summary="Show how much there is, and how it goes",
    operation_id="show_overview",
)
def show(request: HttpRequest) -> OverviewDocument:  # noqa: ARG001
    """Counted now."""
    return OverviewDocument(
        stored=StoredTotals.from_orm(totals()),
        files=count_by_state(File),
        images=count_by_state(Image),
        missed_last_day=count_open_since(timezone.now() - MISSED_WITHIN),
    )
