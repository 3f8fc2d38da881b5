"""What builds asked for in vain: listing it, declaring it all at once, dismissing it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import AuditEvent, Miss, MissSource
from distfile_mirror.catalog.paging import PAGE_SIZE, Page, paged
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.errors import ConflictError, InvalidInputError, MirrorError
from distfile_mirror.model.misses import MissReason

ORDERS = {"latest": "-last_at", "most": "-count"}
MAX_AT_ONCE = 1000
# What cannot be had as a file, however it is declared.
NOT_DECLARABLE = frozenset({MissReason.GIT, MissReason.WRONG_METHOD})


@dataclass(frozen=True, slots=True)
class MissFilters:
    """Which misses; empty means all. ``q``: a part of the name; ``since`` and ``until``: when it was asked for last."""

    q: str = ""
    kind: str = ""
    reason: str = ""
    label: str = ""
    client: str = ""
    since: datetime | None = None
    until: datetime | None = None
    dismissed: bool = False


@dataclass(frozen=True, slots=True)
class MissOutcome:
    """What became of declaring a miss: ``artifact_id`` of its kind, or why it was refused."""

    miss: Miss
    artifact_id: int | None = None
    error: MirrorError | None = None


def list_misses(filters: MissFilters, *, order: str = "latest", cursor: str = "", limit: int = PAGE_SIZE) -> Page[Miss]:
    """Return a page of misses with their sources. Raises InvalidInputError, UnavailableError."""
    if order not in ORDERS:
        raise InvalidInputError({"order": [f"{order!r} is no order; known are {', '.join(ORDERS)}"]})
    rows = _filtered(filters).prefetch_related("sources")
    return paged(rows, cursor=cursor, limit=limit, order=ORDERS[order])


def get_misses(miss_ids: Collection[int]) -> list[Miss]:
    """Return the misses with these keys that there are, with their sources. Raises UnavailableError."""
    with available():
        return list(Miss.objects.filter(pk__in=list(miss_ids)[:MAX_AT_ONCE]).prefetch_related("sources"))


def labels() -> list[str]:
    """Return the labels of builds that asked for something in vain. Raises UnavailableError."""
    with available():
        return list(MissSource.objects.exclude(label="").values_list("label", flat=True).order_by("label").distinct())


def count_open_since(moment: datetime) -> int:
    """Return how many things were asked for in vain since ``moment`` and are still missing. Raises UnavailableError."""
    with available():
        return Miss.objects.filter(is_open=True, is_dismissed=False, last_at__gte=moment).count()


def set_dismissed(miss_ids: Collection[int], *, dismissed: bool, actor: str) -> int:
    """Take misses off the list, or put them back; return how many changed. Raises UnavailableError."""
    with available(), transaction.atomic():
        rows = Miss.objects.select_for_update().filter(pk__in=list(miss_ids), is_dismissed=not dismissed)
        changed = list(rows.values_list("pk", "name"))
        Miss.objects.filter(pk__in=[key for key, _name in changed]).update(is_dismissed=dismissed)
        action = "dismissed" if dismissed else "restored"
        AuditEvent.objects.bulk_create(
            AuditEvent(actor=actor, action=action, subject_kind="miss", subject_id=key, subject=name)
            for key, name in changed
        )
    return len(changed)


def declare_misses(misses: Sequence[Miss], declare: Mapping[ArtifactKind, Callable[[str], int]]) -> list[MissOutcome]:
    """Declare each of ``misses`` by the function for its kind, which takes its name and returns the artifact's key.

    What is refused is told in its outcome, and the others go on.
    """
    return [_declare_one(miss, declare) for miss in misses]


def _declare_one(miss: Miss, declare: Mapping[ArtifactKind, Callable[[str], int]]) -> MissOutcome:
    try:
        if miss.reason in NOT_DECLARABLE:
            _refuse(miss)
        artifact_id = declare[ArtifactKind(miss.kind)](miss.name)
    except MirrorError as error:
        return MissOutcome(miss, error=error)
    with available():
        Miss.objects.filter(pk=miss.pk, reason__in=(MissReason.NOT_DECLARED, MissReason.BY_TAG)).update(
            reason=MissReason.PENDING
        )
    return MissOutcome(miss, artifact_id)


def _refuse(miss: Miss) -> None:
    what = "git's conversation" if miss.reason == MissReason.GIT else "a request by another method than GET or HEAD"
    raise ConflictError(f"{miss.name} was asked for by {what}, which cannot be mirrored as a file; dismiss it")


def _filtered(filters: MissFilters) -> QuerySet[Miss]:
    rows = Miss.objects.filter(is_open=True, is_dismissed=filters.dismissed)
    if filters.q:
        rows = rows.filter(name__icontains=filters.q)
    if filters.kind:
        rows = rows.filter(kind=filters.kind)
    if filters.reason:
        rows = rows.filter(reason=filters.reason)
    times = _times(filters)
    if filters.label or filters.client:
        sources = MissSource.objects.filter(times)
        if filters.label:
            sources = sources.filter(label=filters.label)
        if filters.client:
            sources = sources.filter(client=filters.client)
        return rows.filter(pk__in=sources.values("miss_id"))
    return rows.filter(times)


def _times(filters: MissFilters) -> Q:
    times = Q()
    if filters.since:
        times &= Q(last_at__gte=filters.since)
    if filters.until:
        times &= Q(first_at__lte=filters.until)
    return times


def count_by_reason() -> dict[str, int]:
    """Return how many open misses there are for each reason. Raises UnavailableError."""
    with available():
        rows = Miss.objects.filter(is_open=True, is_dismissed=False).order_by()
        return dict(rows.values_list("reason").annotate(Count("pk")))
