"""What builds asked for in vain: the list, declaring many of it at once, dismissing it."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from distfile_mirror.admin.access import refuse_below
from distfile_mirror.admin.forms import UseForm
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.miss_declarations import MissUse, declare_all
from distfile_mirror.admin.queries import project_names
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.times import time_of
from distfile_mirror.catalog.misses import (
    MissFilters,
    MissOutcome,
    count_by_reason,
    get_misses,
    labels,
    list_misses,
    set_dismissed,
)
from distfile_mirror.errors import InvalidInputError
from distfile_mirror.model.misses import MissReason
from distfile_mirror.model.roles import Role

# For the chips: name -> how long ago.
PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


@require_safe
def misses(request: HttpRequest) -> HttpResponse:
    """Show what was asked for in vain, the latest first; filters are in the address."""
    return _show(request, UseForm(initial=request.GET.dict()))


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Declare or dismiss what is ticked."""
    ids = [int(text) for text in request.POST.getlist("miss") if text.isdecimal()]
    action = request.POST.get("action")
    if action in {"dismiss", "restore"}:
        refuse_below(request, Role.APPROVER)
        set_dismissed(ids, dismissed=action == "dismiss", actor=actor_of(request))
        return redirect(f"/misses?{request.GET.urlencode()}")
    form = UseForm(request.POST)
    form.is_valid()
    if not ids:
        form.add_error(None, "nothing is ticked: tick what to declare")
        return _show(request, form, status=422)
    use = MissUse(form.cleaned_data["project"], form.cleaned_data["reason"], form.cleaned_data["licence"])
    try:
        outcomes = declare_all(get_misses(ids), use, actor=actor_of(request), approved=may_approve(request))
    except InvalidInputError as error:
        for name, messages in error.problems.items():
            for message in messages:
                form.add_error(name if name in form.fields else None, message)
        return _show(request, form, status=422, ticked=ids)
    return _show(request, UseForm(initial={"project": use.project}), outcomes=outcomes)


def filters_of(given: Any) -> MissFilters:
    """Read filters from an address. Raises InvalidInputError for a time that is none."""
    period = PERIODS.get(given.get("period", ""))
    return MissFilters(
        q=given.get("q", "").strip(),
        kind=given.get("kind", ""),
        reason=given.get("reason", ""),
        label=given.get("label", ""),
        client=given.get("client", ""),
        since=timezone.now() - period if period else time_of(given, "since"),
        until=time_of(given, "until"),
        dismissed=bool(given.get("dismissed")),
    )


def _show(
    request: HttpRequest,
    form: UseForm,
    *,
    status: int = 200,
    outcomes: list[MissOutcome] | None = None,
    ticked: list[int] | None = None,
) -> HttpResponse:
    filters = filters_of(request.GET)
    order = request.GET.get("order", "latest")
    cursor = request.GET.get("cursor", "")
    page = list_misses(filters, order=order, cursor=cursor)
    shown = {
        "page": page,
        "filters": filters,
        "filtered": any(value for name, value in request.GET.items() if name != "order"),
        "order": order,
        "cursor": cursor,
        "reasons": list(MissReason),
        "counts": count_by_reason(),
        "labels": labels(),
        "periods": PERIODS,
        "period": request.GET.get("period", ""),
        "form": form,
        "projects": project_names(),
        "declared": [each for each in outcomes or () if each.error is None],
        "refused": [each for each in outcomes or () if each.error is not None],
        "ticked": ticked or [],
        "label_example": current_context().proxy_url.replace("://", "://firmware@", 1),
    }
    return render(request, "mirror/misses.html", shown, status=status)
