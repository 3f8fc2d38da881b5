"""The pages of container images."""

import shlex
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from distfile_mirror.admin.access import refuse_unless_own
from distfile_mirror.admin.forms import DeclareImageForm
from distfile_mirror.admin.identity import actor_of, may_approve
from distfile_mirror.admin.image_declarations import declare_what_came
from distfile_mirror.admin.pages import SHOWN_STATES, changed, facts_of_all, render_live, status_of
from distfile_mirror.admin.queries import project_names
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.tags import FIELD, Resolved, TagAloneError
from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.image_listing import (
    ImageFilters,
    get_image,
    get_registry,
    list_images,
    list_registries,
    list_repositories,
)
from distfile_mirror.catalog.image_parts import NOT_CHOSEN, image_parts
from distfile_mirror.catalog.models import Image
from distfile_mirror.catalog.platform_choice import choose_platforms
from distfile_mirror.errors import ConflictError, InvalidInputError, MirrorError, TransientFetchError, UnavailableError

FILTERS = ("q", "state", "project", "registry", "repository", "digest")


@require_safe
def images(request: HttpRequest) -> HttpResponse:
    """Show the images, newest first; search and filters are in the address."""
    given = {name: request.GET.get(name, "").strip() for name in FILTERS}
    cursor = request.GET.get("cursor", "").strip()
    shown = {
        "page": list_images(ImageFilters(**given), cursor=cursor),
        "filters": given,
        "filtered": any(given.values()) or bool(cursor),
        "states": SHOWN_STATES,
        "cursor": cursor,
    }
    return render(request, "mirror/images.html", shown)


@require_safe
def registries(request: HttpRequest) -> HttpResponse:
    """Show the registries that images were declared of."""
    cursor = request.GET.get("cursor", "")
    return render(request, "mirror/registries.html", {"page": list_registries(cursor=cursor), "cursor": cursor})


@require_safe
def registry(request: HttpRequest, registry_id: int) -> HttpResponse:
    """Show the repositories of a registry."""
    found, cursor = get_registry(registry_id), request.GET.get("cursor", "")
    shown = {"registry": found, "page": list_repositories(registry_id, cursor=cursor), "cursor": cursor}
    return render(request, "mirror/registry.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
def declare(request: HttpRequest) -> HttpResponse:
    """Show the form, filled in from the address, or take it."""
    if request.method != "POST":
        given = {**request.GET.dict(), "platforms": " ".join(request.GET.getlist("platform"))}
        return _show_form(request, DeclareImageForm(initial=given))
    form = DeclareImageForm(request.POST)
    if not form.is_valid():
        return _show_form(request, form, status=422)
    try:
        declared = declare_what_came(
            form.body(resolve="resolve" in request.POST), actor=actor_of(request), approved=may_approve(request)
        )
    except TagAloneError as error:
        _add_errors(form, error)
        return _show_form(request, form, status=422, resolved=error.resolved)
    except (InvalidInputError, ConflictError, TransientFetchError, UnavailableError) as error:
        _add_errors(form, error)
        return _show_form(request, form, status=status_of(error))
    return redirect("image", declared.image.pk)


@require_safe
def image(request: HttpRequest, image_id: int) -> HttpResponse:
    """Show all that is known of an image."""
    return _show_image(request, image_id)


@require_POST
def choose(request: HttpRequest, image_id: int) -> HttpResponse:
    """Fetch further platforms of an index."""
    change = partial(choose_platforms, image_id, request.POST.getlist("platform"), actor=actor_of(request))
    return changed(change, lambda refused: _show_image(request, image_id, refused), f"/images/{image_id}")


@require_POST
def retry(request: HttpRequest, image_id: int) -> HttpResponse:
    """Try a failed image again."""
    refuse_unless_own(request, get_image(image_id))
    change = partial(moderate.retry, Image, image_id, actor=actor_of(request))
    return changed(change, lambda refused: _show_image(request, image_id, refused), f"/images/{image_id}")


@require_POST
def block(request: HttpRequest, image_id: int) -> HttpResponse:
    """Stop serving an image."""
    reason = request.POST.get("reason", "")
    change = partial(moderate.block, Image, image_id, reason=reason, actor=actor_of(request))
    return changed(change, lambda refused: _show_image(request, image_id, refused), f"/images/{image_id}")


@require_POST
def unblock(request: HttpRequest, image_id: int) -> HttpResponse:
    """Serve a blocked image again."""
    change = partial(moderate.unblock, Image, image_id, actor=actor_of(request))
    return changed(change, lambda refused: _show_image(request, image_id, refused), f"/images/{image_id}")


def _add_errors(form: DeclareImageForm, error: MirrorError) -> None:
    problems = error.problems if isinstance(error, InvalidInputError) else {FIELD: [str(error)]}
    for name, messages in problems.items():
        # Registry, repository, digest and tag are parts of the reference here.
        for message in messages:
            form.add_error(name if name in form.fields else FIELD, message)


def _show_form(
    request: HttpRequest, form: DeclareImageForm, *, status: int = 200, resolved: Resolved | None = None
) -> HttpResponse:
    form.fields["platforms"].widget.attrs["placeholder"] = " ".join(current_context().default_platforms)
    shown = {"form": form, "projects": project_names(), "resolved": resolved}
    return render(request, "mirror/declare_image.html", shown, status=status)


def _show_image(request: HttpRequest, image_id: int, refused: MirrorError | None = None) -> HttpResponse:
    found = get_image(image_id)
    parts = image_parts(found)
    shown = {
        "image": found,
        "parts": parts,
        "choices": [each.platform for each in parts.platforms if each.state == NOT_CHOSEN and _can_be_chosen(each)],
        "refused": refused,
        "typed": request.POST,
        "commands": _commands(found),
        **facts_of_all(found),
    }
    return render_live(request, "mirror/image.html", shown, status=status_of(refused) if refused else 200)


def _can_be_chosen(child: Any) -> bool:
    return bool(child.platform) and not child.attests


def _commands(found: Image) -> list[tuple[str, str]]:
    """Return titles and lines that a person pastes to get the image through the proxy."""
    context = current_context()
    settings = f"HTTPS_PROXY={shlex.quote(context.proxy_url)} SSL_CERT_FILE={shlex.quote(str(context.ca_file))}"
    return [("Pull it through the mirror", f"{settings} podman pull {shlex.quote(str(found))}")]
