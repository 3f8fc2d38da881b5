"""Users and roles, for administrators."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from distfile_mirror.admin.identity import actor_of
from distfile_mirror.admin.pages import status_of
from distfile_mirror.admin.people import add_user, list_users, roles_follow_groups, set_active, set_password, set_role
from distfile_mirror.admin.settings import current_context
from distfile_mirror.admin.sign_in import ACCOUNTS
from distfile_mirror.errors import ConflictError, InvalidInputError, MirrorError
from distfile_mirror.model.roles import Role


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def users(request: HttpRequest) -> HttpResponse:
    """Show all users, or add one who signs in with a password."""
    if request.method != "POST":
        return _show(request)
    given = {name: request.POST.get(name, "") for name in ("name", "role", "password")}
    return _changed(request, lambda: add_user(**given, actor=actor_of(request)))


@sensitive_post_parameters("password")
@require_POST
def change(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give a role or a password, disable or enable: what the button says that was pressed."""
    actor = actor_of(request)
    changes: dict[str, Callable[[], object]] = {
        "role": lambda: set_role(user_id, request.POST.get("role", ""), actor=actor),
        "password": lambda: set_password(user_id, request.POST.get("password", ""), actor=actor),
        "disable": lambda: set_active(user_id, is_active=False, actor=actor),
        "enable": lambda: set_active(user_id, is_active=True, actor=actor),
    }
    wanted = changes.get(request.POST.get("change", ""))
    if wanted is None:
        return _show(request, InvalidInputError({"change": [f"one of {', '.join(changes)}"]}), user_id)
    return _changed(request, wanted, user_id)


def _changed(request: HttpRequest, change_it: Callable[[], object], user_id: int | None = None) -> HttpResponse:
    try:
        change_it()
    except (InvalidInputError, ConflictError) as error:
        return _show(request, error, user_id)
    return redirect("users")


def _show(request: HttpRequest, refused: MirrorError | None = None, refused_of: int | None = None) -> HttpResponse:
    found = list_users()
    shown = {
        "users": [(user, roles_follow_groups(user)) for user in found],
        "roles": list(Role),
        "accounts": ACCOUNTS in current_context().sign_in.methods,
        "refused": refused,
        "refused_of": refused_of,
        "typed": request.POST if refused_of is None else {},
    }
    return render(request, "mirror/users.html", shown, status=status_of(refused) if refused else 200)
