"""Changing several files at once: what can be changed is, and of what cannot it is told why."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from distfile_mirror.admin.access import refuse_unless_own
from distfile_mirror.admin.identity import actor_of, identity_of
from distfile_mirror.admin.pages import show_files
from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.listing import get_file
from distfile_mirror.catalog.models import File
from distfile_mirror.errors import MirrorError, NotAllowedError
from distfile_mirror.model.roles import Role

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
    change = _block if request.POST.get("action") == "block" else _retry
    refused: list[Told] = []
    left: list[int] = []
    for key in keys:
        try:
            change(request, key)
        except MirrorError as error:
            refused.append(Told(str(error), error=True))
            left.append(key)
    if not refused:
        return redirect(f"/files?{request.GET.urlencode()}")
    texts = dict.fromkeys(each.text for each in refused)
    done = [Told(f"{len(keys) - len(left)} changed.", error=False)] if len(left) < len(keys) else []
    return show_files(request, outcomes=[*done, *(Told(text, error=True) for text in texts)], ticked=left, status=422)


def _retry(request: HttpRequest, key: int) -> None:
    refuse_unless_own(request, get_file(key))
    moderate.retry(File, key, actor=actor_of(request))


def _block(request: HttpRequest, key: int) -> None:
    if not identity_of(request).may(Role.APPROVER):
        message = "blocking is for approvers"
        raise NotAllowedError(message)
    moderate.block(File, key, reason=request.POST.get("reason", ""), actor=actor_of(request))
