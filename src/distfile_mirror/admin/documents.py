"""The shapes of the REST API: what comes in and what goes out, from which OpenAPI is made."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from distfile_mirror.admin.settings import current_context
from distfile_mirror.catalog.care_listing import Care, care_of
from distfile_mirror.catalog.care_models import DamagedBlob, UpstreamCheck
from distfile_mirror.catalog.models import File, Use
from distfile_mirror.catalog.paging import PAGE_SIZE
from distfile_mirror.model.checksums import ChecksumStrength, strength
from distfile_mirror.model.damage import Problem
from distfile_mirror.model.drift import Verdict
from distfile_mirror.model.states import State

MAX_PAGE_SIZE = 500
MAX_ITEMS = 100
MAX_ID = (1 << 63) - 1

ChecksumText = Annotated[
    str, Field(description="`algorithm:hex`, bare hex, or Subresource Integrity.", examples=[f"sha256:{'0' * 64}"])
]

StateFilter = Literal["", "requested", "rejected", "pending", "fetching", "present", "failed", "blocked"]
KindFilter = Literal["", "file", "image"]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
# A text, so that pages and API read the same; what is no time is refused by admin.times.
Moment = Annotated[
    str, Field(description="A day or a moment in ISO 8601, UTC by default.", examples=["2026-01-31T14:00Z"])
]


class Input(Schema):
    """What comes in; fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class Declaration(Input):
    """That a file must be present, for what, and why."""

    uri: str = Field(description="Absolute http or https URI.", examples=["https://example.org/foo-1.2.tar.gz"])
    project: str = Field(description="What uses it.", examples=["firmware"])
    reason: str = Field(description="Why it is needed.", examples=["build dependency of the bootloader"])
    licence: str = Field("", description="SPDX expression; empty where nobody knows.", examples=["MIT OR Apache-2.0"])
    checksums: list[ChecksumText] = Field([], max_length=MAX_ITEMS, description="What the bytes must have.")
    fallback_uris: list[str] = Field([], max_length=MAX_ITEMS, description="Where else the same bytes are.")


class Amendment(Input):
    """The expected checksums of a file that is not stored yet, instead of those so far."""

    checksums: list[ChecksumText] = Field(max_length=MAX_ITEMS)


class Blocking(Input):
    """Why it must not be used; builds are shown the reason."""

    reason: str = Field(examples=["known to be malicious"])


class PageQuery(Schema):
    """Which page of a list."""

    cursor: str = Field("", description="`next_cursor` of the page before.")
    limit: int = Field(PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE)


class ListQuery(PageQuery):
    """What to list; every condition must hold."""

    q: str = Field("", description="Part of the URI or of the stored sha256.")
    state: StateFilter = ""
    host: str = Field("", description="Exactly this host.")
    project: str = Field("", description="The exact name of a project that uses it.")
    licence: str = Field("", description="Exactly this SPDX expression of a use, or `unknown`.")
    declared_by: str = Field("", description="Declared by exactly this one.")
    uri: str = Field("", description="Exactly this URI, in any spelling.")
    upstream: Literal["", "changed", "perhaps changed", "gone"] = Field(
        "", description="Its upstream was found to be so since it was stored."
    )
    order: Literal["newest", "oldest", "fetched", "largest", "smallest"] = Field(
        "newest", description="By all but the first two, only what is stored is listed."
    )


class UseDocument(Schema):
    """Who uses it, for what, and why."""

    project: str
    reason: str
    licence: str = Field(description="SPDX expression; empty where nobody knows.")
    declared_by: str
    declared_at: datetime


class Progress(Schema):
    """How far a download is, in bytes; `total_bytes` is null where upstream does not say."""

    received_bytes: int
    total_bytes: int | None


class UpstreamDocument(Schema):
    """What a file's upstream said when it was asked last; nothing that is stored depends on it."""

    verdict: Verdict
    message: str
    checked_at: datetime
    since: datetime = Field(description="Since when the verdict is what it is.")


class DamageDocument(Schema):
    """That stored bytes are missing or wrong; they are not served until they are repaired."""

    problem: Problem
    message: str
    found_at: datetime


class FileDocument(Schema):
    """A file: what was declared, and what became of it. What is not known yet is null."""

    id: int
    uri: str
    host: str
    state: State
    message: str = Field(description="Why it failed, will be tried again, or is blocked.")
    checksums: list[str] = Field(description="Expected ones, as `algorithm:hex`, the strongest first.")
    checksum_strength: ChecksumStrength
    fallback_uris: list[str]
    sha256: str | None = Field(description="Of the stored bytes.")
    size: int | None = Field(description="Of the stored bytes.")
    digests: dict[str, str] = Field(description="Algorithm to hex, of the stored bytes.")
    headers: dict[str, str] = Field(description="Of upstream's answer, as replayed to builds.")
    final_uri: str | None = Field(description="Where the bytes came from after redirects.")
    fetched_at: datetime | None
    attempts: int = Field(description="Failed attempts since it was last made pending.")
    next_attempt_at: datetime | None = Field(description="Only while pending.")
    progress: Progress
    uses: list[UseDocument]
    upstream: UpstreamDocument | None = Field(description="Null while it was not asked since the file was stored.")
    damage: DamageDocument | None = Field(description="Null while nothing is wrong with the stored bytes.")
    created_at: datetime
    url: str = Field(description="The page of this file.")


class FileList(Schema):
    """A page of files."""

    files: list[FileDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class FieldError(Schema):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemDocument(Schema):
    """A refusal, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError]


def file_document(file: File, care: Care | None = None) -> FileDocument:
    """Write ``file`` as the API shows it; ``care`` of it, if that was asked for already. Raises UnavailableError."""
    care = care or care_of([file])[file.pk]
    return FileDocument(
        id=file.pk,
        uri=file.uri,
        host=file.host,
        state=State(file.state),
        message=file.message,
        checksums=[f"{name}:{digest}" for name, digest in file.expected.items()],
        checksum_strength=strength(file.expected),
        fallback_uris=file.fallback_uris,
        sha256=file.sha256 or None,
        size=file.size,
        digests=file.digests,
        headers=file.headers,
        final_uri=file.final_uri or None,
        fetched_at=file.fetched_at,
        attempts=file.attempts,
        next_attempt_at=file.due_at if file.state == State.PENDING else None,
        progress=Progress(received_bytes=file.received_bytes, total_bytes=file.total_bytes),
        uses=[use_document(use) for use in file.uses.all()],
        upstream=_upstream_document(care.upstream),
        damage=damage_document(care.damage),
        created_at=file.created_at,
        url=page_url(file),
    )


def _upstream_document(check: UpstreamCheck | None) -> UpstreamDocument | None:
    if check is None:
        return None
    return UpstreamDocument(
        verdict=Verdict(check.verdict), message=check.message, checked_at=check.checked_at, since=check.since
    )


def damage_document(damage: DamagedBlob | None) -> DamageDocument | None:
    """Write what is wrong with a blob, if anything."""
    if damage is None:
        return None
    return DamageDocument(problem=Problem(damage.problem), message=damage.message, found_at=damage.found_at)


def page_url(file: File) -> str:
    """Return the address of the page of ``file``, for people anywhere."""
    return f"{current_context().admin_url}/files/{file.pk}"


def use_document(use: Use) -> UseDocument:
    """Write a use of a file or an image."""
    return UseDocument(
        project=use.project.name,
        reason=use.reason,
        licence=use.licence,
        declared_by=use.declared_by,
        declared_at=use.declared_at,
    )
