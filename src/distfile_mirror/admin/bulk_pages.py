"""Changing several files at once: what can be changed is, and of what cannot it is told why."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from distfile_mirror.admin.bulk_changes import Changed, block_files, retry_files
from distfile_mirror.admin.pages import show_files
from distfile_mirror.errors import MirrorError

MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Told:
    """What became of it, in words."""

    text: str
    error: bool


@require_POST
def change_files(request: HttpRequest) -> HttpResponse:
    """Try again, or block, what is ticked."""
    keys = [int(text) for text in request.POST.getlist("file")[:MOST_AT_ONCE] if text.isdecimal()]
    if not keys:
        return show_files(request, outcomes=[Told("Nothing is ticked.", error=True)], status=422)
    try:
        changed = _change(request, keys)
    except MirrorError as error:
        return show_files(request, outcomes=[Told(str(error), error=True)], ticked=keys, status=422)
    refused = [each for each in changed if each.problem]
    if not refused:
        return redirect(f"/files?{request.GET.urlencode()}")
    texts = dict.fromkeys(each.problem for each in refused)
    done = [Told(f"{len(changed) - len(refused)} changed.", error=False)] if len(refused) < len(changed) else []
    outcomes = [*done, *(Told(text, error=True) for text in texts)]
    return show_files(request, outcomes=outcomes, ticked=[each.file_id for each in refused], status=422)


def _change(request: HttpRequest, keys: list[int]) -> list[Changed]:
    if request.POST.get("action") == "block":
        return block_files(request, keys, request.POST.get("reason", ""))
    return retry_files(request, keys)
