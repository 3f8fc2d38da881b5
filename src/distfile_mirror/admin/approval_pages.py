"""What waits for approval: the list, and deciding on many of it at once."""

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from distfile_mirror.admin.identity import actor_of
from distfile_mirror.admin.pages import status_of
from distfile_mirror.catalog.approval import Decided, decide_many, list_waiting
from distfile_mirror.errors import InvalidInputError, MirrorError


@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    """Show what waits, the oldest first."""
    return _show(request)


@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    """Approve what is ticked, or reject it with a reason."""
    files, images = (_numbers(request.POST.getlist(name)) for name in ("file", "image"))
    action = request.POST.get("action", "")
    reason = request.POST.get("reason", "") if action == "reject" else None
    try:
        _check(action, [*files, *images])
        decided = decide_many(files, images, reason=reason, actor=actor_of(request))
    except InvalidInputError as error:
        return _show(request, refused=error)
    undecided = [each for each in decided if each.problem]
    return _show(request, undecided=undecided) if undecided else redirect("requests")


def _check(action: str, ticked: Sequence[int]) -> None:
    if not ticked:
        raise InvalidInputError({"ticked": ["nothing is ticked: tick what you have decided on"]})
    if action not in {"approve", "reject"}:
        raise InvalidInputError({"action": ["approve or reject"]})


def _numbers(texts: Sequence[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 19]  # noqa: PLR2004 - 64 bits


def _show(
    request: HttpRequest,
    *,
    refused: MirrorError | None = None,
    undecided: Sequence[Decided] = (),
) -> HttpResponse:
    shown = {
        "waiting": list_waiting(),
        "refused": refused,
        "undecided": undecided,
        "ticked_files": _numbers(request.POST.getlist("file")),
        "ticked_images": _numbers(request.POST.getlist("image")),
        "typed": request.POST,
    }
    status = status_of(refused) if refused else 200
    return render(request, "mirror/requests.html", shown, status=409 if undecided else status)
