"""The pages. Each view asks the catalog and shows what it says; refusals come back beside what was typed."""

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from distfile_mirror import __version__
from distfile_mirror.admin.access import refuse_unless_own, rights_for_page
from distfile_mirror.admin.fetch_commands import FileFacts, fetch_commands
from distfile_mirror.admin.forms import DeclareForm
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.problems import explain
from distfile_mirror.admin.queries import history, project_names
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.themes import THEMES, theme_of
from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.care_listing import care_of
from distfile_mirror.catalog.declare import declare_file
from distfile_mirror.catalog.listing import DEFAULT_ORDER, ORDERS, Filters, get_file, list_files
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.errors import ConflictError, InvalidInputError, MirrorError, UnavailableError
from distfile_mirror.model.checksums import strength
from distfile_mirror.model.states import State

STYLESHEET = "mirror/mirror.css"
SCRIPT = "mirror/mirror.js"
# It comes with django-htmx, and its name changes with its version.
HTMX = "/static/django_htmx/htmx-2.min.js"
NAVIGATION = (
    ("/", "Home"),
    ("/files", "Files"),
    ("/images", "Containers"),
    ("/misses", "Missing"),
    ("/projects", "Projects"),
    ("/audit", "Audit"),
    ("/setup", "Set up"),
)
SHOWN_STATES = (
    State.REQUESTED,
    State.REJECTED,
    State.PENDING,
    State.FETCHING,
    State.PRESENT,
    State.FAILED,
    State.BLOCKED,
)
FILE_FILTERS = ("q", "state", "host", "project", "licence", "declared_by", "upstream")
REFRESH_SECONDS = 2
SLOW_REFRESH_SECONDS = 15


@dataclass(slots=True)
class _Outcome:
    """What became of a form: files declared, and the lines that were not."""

    declared: list[File] = field(default_factory=list)
    refused_lines: list[str] = field(default_factory=list)
    status: int = 200


def shared_by_all_pages(request: HttpRequest) -> dict[str, Any]:
    """Give every template what header and footer need; asks the database only for who asks, if that is not known."""
    return {
        **rights_for_page(request),
        "mirror": current_context(),
        "version": __version__,
        "stylesheet": _address_of(STYLESHEET),
        "script": _address_of(SCRIPT),
        "htmx": HTMX,
        "navigation": NAVIGATION,
        "themes": THEMES,
        "theme": theme_of(request),
    }


@require_safe
def files(request: HttpRequest) -> HttpResponse:
    """Show the files; search, filters and order are in the address."""
    return show_files(request)


def show_files(
    request: HttpRequest, *, outcomes: Sequence[Any] = (), ticked: Sequence[int] = (), status: int = 200
) -> HttpResponse:
    """Show the list of files, and what became of a change to several."""
    given = {name: request.GET.get(name, "").strip() for name in FILE_FILTERS}
    cursor, order = request.GET.get("cursor", "").strip(), request.GET.get("order", "") or DEFAULT_ORDER
    filters = Filters(**given)
    shown = {
        "page": list_files(filters, order=order, cursor=cursor),
        "filters": filters,
        "filtered": any(given.values()) or bool(cursor),
        "states": SHOWN_STATES,
        "projects": project_names(),
        "command": example_command(),
        "cursor": cursor,
        "order": order,
        "orders": ORDERS,
        "outcomes": outcomes,
        "ticked": ticked,
    }
    return render(request, "mirror/files.html", shown, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def declare(request: HttpRequest) -> HttpResponse:
    """Show the form, filled in from the address, or take it."""
    if request.method != "POST":
        given = {**request.GET.dict(), "uris": request.GET.get("uris") or request.GET.get("uri", "")}
        return _show_form(request, DeclareForm(initial=given), _Outcome())
    form = DeclareForm(request.POST)
    outcome = _declare(request, form) if form.is_valid() else _Outcome(status=422)
    if form.errors:
        if outcome.declared:  # what went well must not be sent again
            form.data = {**request.POST.dict(), "uris": "\n".join(outcome.refused_lines)}
        return _show_form(request, form, outcome)
    if len(outcome.declared) == 1:
        return redirect("file", outcome.declared[0].pk)
    return redirect("/files?" + urlencode({"project": form.cleaned_data["project"].strip()}))


@require_safe
def file(request: HttpRequest, file_id: int) -> HttpResponse:
    """Show all that is known of a file."""
    return _show_file(request, file_id)


@require_POST
def retry(request: HttpRequest, file_id: int) -> HttpResponse:
    """Try a failed download again, with other checksums if some were given."""
    refuse_unless_own(request, get_file(file_id))
    actor = actor_of(request)
    checksums = request.POST.get("checksums")
    change = (
        partial(moderate.retry, File, file_id, actor=actor)
        if checksums is None
        else partial(moderate.amend, file_id, checksums=checksums.split(), actor=actor, approved=may_approve(request))
    )
    return changed(change, lambda refused: _show_file(request, file_id, refused), f"/files/{file_id}")


@require_POST
def block(request: HttpRequest, file_id: int) -> HttpResponse:
    """Stop serving a file."""
    reason = request.POST.get("reason", "")
    change = partial(moderate.block, File, file_id, reason=reason, actor=actor_of(request))
    return changed(change, lambda refused: _show_file(request, file_id, refused), f"/files/{file_id}")


@require_POST
def unblock(request: HttpRequest, file_id: int) -> HttpResponse:
    """Serve a blocked file again."""
    change = partial(moderate.unblock, File, file_id, actor=actor_of(request))
    return changed(change, lambda refused: _show_file(request, file_id, refused), f"/files/{file_id}")


def changed(change: Callable[[], object], show: Callable[[MirrorError], HttpResponse], page: str) -> HttpResponse:
    """Do ``change`` and lead to ``page``; a refusal is shown there by ``show``."""
    try:
        change()
    except (ConflictError, InvalidInputError) as error:
        return show(error)
    return redirect(page)


def render_live(request: HttpRequest, template: str, shown: dict[str, Any], *, status: int) -> HttpResponse:
    """Render a page that a script asks for again and again until it is settled, and then as a whole."""
    response = render(request, template, shown, status=status)
    if request.headers.get("HX-Request") and shown["refresh"] is None:
        response["HX-Refresh"] = "true"
    return response


def facts_of_all(artifact: File | Image) -> dict[str, Any]:
    """Return what the pages of files and of images show alike."""
    return {
        "artifact": artifact,
        "uses": list(artifact.uses.all()),
        "events": history(type(artifact), artifact.pk),
        "refresh": _refresh_seconds(artifact),
        "waits": artifact.due_at is not None and artifact.due_at > timezone.now(),
    }


def status_of(error: MirrorError) -> int:
    """Return the HTTP status that ``error`` means."""
    problem = explain(error)
    return problem.status.value if problem else 500


def _declare(request: HttpRequest, form: DeclareForm) -> _Outcome:
    context = current_context()
    outcome = _Outcome()
    for line, declaration in form.declarations():
        try:
            declared = declare_file(
                declaration,
                actor=actor_of(request),
                approved=may_approve(request),
                digests_of=context.digests_of,
            )
        except (InvalidInputError, ConflictError, UnavailableError) as error:
            outcome.refused_lines.append(line)
            outcome.status = max(outcome.status, status_of(error))
            _add_errors(form, error, line)
        else:
            outcome.declared.append(declared.file)
    return outcome


def _add_errors(form: DeclareForm, error: MirrorError, line: str) -> None:
    several = len(form.lines) > 1
    if not isinstance(error, InvalidInputError):
        form.add_error("uris", str(error))
        return
    for name, messages in error.problems.items():
        # What is wrong with a line is said of the line; what they share is said once.
        of_line = name == "uri" or (name == "checksums" and len(line.split()) > 1)
        target = "uris" if of_line else name
        for message in messages:
            text = f"{line}: {message}" if of_line and several else message
            if text not in form.errors.get(target, []):
                form.add_error(target, text)


def _show_form(request: HttpRequest, form: DeclareForm, outcome: _Outcome) -> HttpResponse:
    shown = {
        "form": form,
        "declared": outcome.declared,
        "projects": project_names(),
        "count": len(form.lines),
    }
    return render(request, "mirror/declare.html", shown, status=outcome.status)


def _show_file(request: HttpRequest, file_id: int, refused: MirrorError | None = None) -> HttpResponse:
    shown_file = get_file(file_id)
    shown = {
        "file": shown_file,
        "refused": refused,
        "typed": request.POST,
        **facts_of_all(shown_file),
        "strength": strength(shown_file.expected),
        "commands": _commands(shown_file),
        "care": care_of([shown_file])[file_id],
    }
    return render_live(request, "mirror/file.html", shown, status=status_of(refused) if refused else 200)


def _refresh_seconds(artifact: File | Image) -> int | None:
    if artifact.state not in {State.PENDING, State.FETCHING}:
        return None
    soon = timezone.now() + timedelta(seconds=SLOW_REFRESH_SECONDS)
    waits = artifact.state == State.PENDING and artifact.due_at is not None and artifact.due_at > soon
    return SLOW_REFRESH_SECONDS if waits else REFRESH_SECONDS


def _commands(shown_file: File) -> list[tuple[str, str]]:
    context = current_context()
    return fetch_commands(FileFacts(shown_file.uri, shown_file.sha256, context.proxy_url, context.ca_file))


def example_command() -> str:
    """Return a line that a person pastes to declare something."""
    context = current_context()
    server = f" --server {shlex.quote(context.admin_url)}"
    return (
        f"distfile-mirror add{server} https://example.org/foo-1.2.tar.gz \\\n"
        '    --project firmware --reason "build dependency of the bootloader" --wait'
    )


@cache
def _address_of(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    content = (Path(__file__).parent / "static" / name).read_bytes()
    return f"{static(name)}?v={hashlib.sha256(content).hexdigest()[:12]}"
