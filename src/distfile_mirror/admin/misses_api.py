"""The REST API's operations on what builds asked for in vain."""

from django.http import HttpRequest
from ninja import Query, Router

from distfile_mirror.admin.answers import DECLARING, READING, refuse_unknown_parameters
from distfile_mirror.admin.documents import ProblemDocument
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.miss_declarations import MissUse, declare_all
from distfile_mirror.admin.miss_documents import (
    ChangedCount,
    MissDeclarationBody,
    MissIds,
    MissList,
    MissListQuery,
    MissOutcomeList,
    miss_document,
    miss_filters,
    miss_outcomes,
)
from distfile_mirror.catalog.misses import get_misses, list_misses, set_dismissed

router = Router()


@router.get(
    "/misses",
    response={200: MissList, READING: ProblemDocument},
    summary="List what builds asked for in vain",
    operation_id="list_misses",
)
def list_(request: HttpRequest, query: Query[MissListQuery]) -> MissList:
    """A page of what is still missing, with who asked for it."""
    refuse_unknown_parameters(request, MissListQuery)
    page = list_misses(miss_filters(query), order=query.order, cursor=query.cursor, limit=query.limit)
    return MissList(misses=list(map(miss_document, page.items)), next_cursor=page.next_cursor or None)


@router.post(
    "/misses/declare",
    response={200: MissOutcomeList, DECLARING: ProblemDocument},
    summary="Declare many that were asked for in vain",
    operation_id="declare_misses",
)
def declare(request: HttpRequest, body: MissDeclarationBody) -> MissOutcomeList:
    """One that cannot be declared does not stop the others; the answer says what became of each."""
    use = MissUse(body.project, body.reason, body.licence)
    misses = get_misses(body.misses)
    outcomes = declare_all(misses, use, actor=actor_of(request), approved=may_approve(request))
    return miss_outcomes(body.misses, outcomes)


@router.post(
    "/misses/dismiss",
    response={200: ChangedCount, DECLARING: ProblemDocument},
    summary="Take misses off the list",
    operation_id="dismiss_misses",
)
def dismiss(request: HttpRequest, body: MissIds) -> ChangedCount:
    """They stay off it, however often they are asked for."""
    return ChangedCount(changed=set_dismissed(body.misses, dismissed=True, actor=actor_of(request)))


@router.post(
    "/misses/restore",
    response={200: ChangedCount, DECLARING: ProblemDocument},
    summary="Put dismissed misses back",
    operation_id="restore_misses",
)
def restore(request: HttpRequest, body: MissIds) -> ChangedCount:
    """They are on the list again."""
    return ChangedCount(changed=set_dismissed(body.misses, dismissed=False, actor=actor_of(request)))
