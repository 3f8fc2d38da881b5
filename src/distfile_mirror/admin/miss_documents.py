"""The shapes of the REST API for what builds asked for in vain."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from ninja import Schema
from pydantic import Field

from distfile_mirror.admin.documents import MAX_PAGE_SIZE, Id, Input, KindFilter, Moment, PageQuery
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.times import time_of
from distfile_mirror.catalog.misses import MissFilters, MissOutcome
from distfile_mirror.catalog.models import Miss
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.model.misses import MissReason

ReasonFilter = Literal[
    "",
    "not declared",
    "pending",
    "failed",
    "blocked",
    "waiting for approval",
    "rejected",
    "by tag",
    "platform not chosen",
    "git",
    "wrong method",
]


class MissListQuery(PageQuery):
    """What to list; every condition must hold."""

    q: str = Field("", description="Part of the URI or of the reference.")
    kind: KindFilter = ""
    reason: ReasonFilter = Field("", description="The latest one.")
    label: str = Field("", description="Asked for by a build with this label.")
    client: str = Field("", description="Asked for from this address.")
    since: Moment = Field("", description="Asked for at this time or later.")
    until: Moment = Field("", description="Asked for at this time or earlier.")
    dismissed: bool = Field(False, description="Those that were dismissed instead of the others.")
    order: Literal["latest", "most"] = Field("latest", description="The latest first, or the most often asked for.")


class MissIds(Input):
    """Misses by number."""

    misses: list[Id] = Field(min_length=1, max_length=MAX_PAGE_SIZE)


class MissDeclarationBody(MissIds):
    """What to declare, and what for; an image asked for by tag is declared by the digest that the tag has now."""

    project: str = Field(description="What uses it.", examples=["firmware"])
    reason: str = Field(description="Why it is needed.", examples=["asked for by the build"])
    licence: str = Field("", description="SPDX expression; empty where nobody knows.", examples=["MIT"])


class MissSourceDocument(Schema):
    """Who asked for it in vain."""

    label: str = Field(description="Of the build; empty where it gave none.")
    client: str = Field(description="An address.")
    reason: MissReason
    count: int
    first_at: datetime
    last_at: datetime


class MissDocument(Schema):
    """Something that builds asked for in vain."""

    id: int
    kind: ArtifactKind
    name: str = Field(description="The URI of a file, the reference of an image.")
    reason: MissReason = Field(description="The latest one.")
    count: int
    first_at: datetime
    last_at: datetime
    sources: list[MissSourceDocument]


class MissList(Schema):
    """A page of misses."""

    misses: list[MissDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class MissOutcomeDocument(Schema):
    """What became of declaring a miss: the artifact, or a problem."""

    id: int = Field(description="Of the miss.")
    kind: ArtifactKind | None = Field(description="Null where there is no such miss.")
    name: str
    artifact_id: int | None = Field(description="Of the file or the image that is declared now.")
    url: str | None = Field(description="Its page.")
    problem: str = Field(description="Empty if it went well.")


class MissOutcomeList(Schema):
    """What became of each."""

    misses: list[MissOutcomeDocument]


class ChangedCount(Schema):
    """How many were not so before."""

    changed: int


def miss_filters(query: MissListQuery) -> MissFilters:
    """Return what the catalog is asked for. Raises InvalidInputError for a time that is none."""
    given = query.model_dump(exclude={"cursor", "limit", "order"})
    times = {name: time_of(given, name) for name in ("since", "until")}
    return MissFilters(**given | times)


def miss_document(miss: Miss) -> MissDocument:
    """Write ``miss`` with its sources, the latest first."""
    sources = sorted(miss.sources.all(), key=lambda source: source.last_at, reverse=True)
    return MissDocument(
        id=miss.pk,
        kind=ArtifactKind(miss.kind),
        name=miss.name,
        reason=MissReason(miss.reason),
        count=miss.count,
        first_at=miss.first_at,
        last_at=miss.last_at,
        sources=[MissSourceDocument.from_orm(source) for source in sources],
    )


def miss_outcomes(miss_ids: Iterable[int], outcomes: Sequence[MissOutcome]) -> MissOutcomeList:
    """Write what became of each of ``miss_ids``, in their order; those that are not there too."""
    found = {outcome.miss.pk: _outcome(outcome) for outcome in outcomes}
    return MissOutcomeList(misses=[found.get(key) or _unknown(key) for key in dict.fromkeys(miss_ids)])


def _outcome(outcome: MissOutcome) -> MissOutcomeDocument:
    miss = outcome.miss
    url = None
    if outcome.artifact_id is not None:
        url = f"{current_context().admin_url}/{miss.kind}s/{outcome.artifact_id}"
    return MissOutcomeDocument(
        id=miss.pk,
        kind=ArtifactKind(miss.kind),
        name=miss.name,
        artifact_id=outcome.artifact_id,
        url=url,
        problem=str(outcome.error or ""),
    )


def _unknown(key: int) -> MissOutcomeDocument:
    return MissOutcomeDocument(
        id=key, kind=None, name="", artifact_id=None, url=None, problem=f"there is no miss {key}"
    )
