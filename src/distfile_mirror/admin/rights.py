"""Who may do what: one table, and nothing that is not in it is answered.

Pages stand in it under the name of their address (admin.urls), operations of the API as in the OpenAPI
document. A test walks both, with every role and with none.
"""

import re
from collections.abc import Mapping

from django.urls import ResolverMatch

from distfile_mirror.model.roles import Role

EVERYBODY = None
API_NAMESPACE = "api"
API_PREFIX = "api/v1"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

# The least role; EVERYBODY: also who has not signed in.
RIGHTS: Mapping[str, Role | None] = {
    "health": EVERYBODY,
    "sign_in": EVERYBODY,
    "sign_out": EVERYBODY,
    "openid_connect_login": EVERYBODY,
    "openid_connect_callback": EVERYBODY,
    "home": Role.VIEWER,
    "theme": EVERYBODY,
    "setup": Role.VIEWER,
    "ca_pem": EVERYBODY,
    "ca_der": EVERYBODY,
    "ca_p12": EVERYBODY,
    "registries": Role.VIEWER,
    "registry": Role.VIEWER,
    "misses": Role.VIEWER,
    "projects": Role.VIEWER,
    "project": Role.VIEWER,
    "project_csv": Role.VIEWER,
    "project_sbom": Role.VIEWER,
    "unknown_licences": Role.VIEWER,
    "unused": Role.VIEWER,
    "undeclared": Role.VIEWER,
    "audit": Role.VIEWER,
    "audit_csv": Role.VIEWER,
    "files": Role.VIEWER,
    "file": Role.VIEWER,
    "images": Role.VIEWER,
    "image": Role.VIEWER,
    "metrics": Role.VIEWER,
    "account": Role.VIEWER,
    "change_password": Role.VIEWER,
    "create_token": Role.VIEWER,
    "revoke_token": Role.VIEWER,
    "change_misses": Role.DECLARER,
    "change_files": Role.DECLARER,
    "declare": Role.DECLARER,
    "declare_image": Role.DECLARER,
    "choose_platforms": Role.DECLARER,
    "retry": Role.DECLARER,
    "retry_image": Role.DECLARER,
    "requests": Role.DECLARER,
    "decide": Role.APPROVER,
    "block": Role.APPROVER,
    "unblock": Role.APPROVER,
    "block_image": Role.APPROVER,
    "unblock_image": Role.APPROVER,
    "users": Role.ADMINISTRATOR,
    "change_user": Role.ADMINISTRATOR,
    "GET /": Role.VIEWER,  # where there is nothing
    "GET /openapi.json": Role.VIEWER,
    "GET /files": Role.VIEWER,
    "GET /files/{file_id}": Role.VIEWER,
    "GET /images": Role.VIEWER,
    "GET /images/{image_id}": Role.VIEWER,
    "GET /registries": Role.VIEWER,
    "GET /registries/{registry_id}": Role.VIEWER,
    "GET /repositories/{repository_id}": Role.VIEWER,
    "GET /misses": Role.VIEWER,
    "GET /projects": Role.VIEWER,
    "GET /projects/{project_id}": Role.VIEWER,
    "GET /projects/{project_id}/uses": Role.VIEWER,
    "GET /projects/{project_id}/export.csv": Role.VIEWER,
    "GET /projects/{project_id}/sbom.cdx.json": Role.VIEWER,
    "GET /reports/unknown-licences": Role.VIEWER,
    "GET /reports/unused": Role.VIEWER,
    "GET /reports/undeclared": Role.VIEWER,
    "GET /audit": Role.VIEWER,
    "GET /audit.csv": Role.VIEWER,
    "GET /overview": Role.VIEWER,
    "GET /tokens": Role.VIEWER,
    "POST /tokens": Role.VIEWER,
    "DELETE /tokens/{token_id}": Role.VIEWER,
    "POST /files": Role.DECLARER,
    "PATCH /files/{file_id}": Role.DECLARER,
    "POST /files/{file_id}/retry": Role.DECLARER,
    "POST /files/retry": Role.DECLARER,
    "POST /misses/declare": Role.DECLARER,
    "POST /images": Role.DECLARER,
    "POST /images/resolve": Role.DECLARER,
    "POST /images/{image_id}/platforms": Role.DECLARER,
    "POST /images/{image_id}/retry": Role.DECLARER,
    "POST /files/{file_id}/approve": Role.APPROVER,
    "POST /files/{file_id}/reject": Role.APPROVER,
    "POST /files/{file_id}/block": Role.APPROVER,
    "POST /files/{file_id}/unblock": Role.APPROVER,
    "POST /images/{image_id}/approve": Role.APPROVER,
    "POST /images/{image_id}/reject": Role.APPROVER,
    "POST /images/{image_id}/block": Role.APPROVER,
    "POST /images/{image_id}/unblock": Role.APPROVER,
    "POST /files/block": Role.APPROVER,
    "POST /misses/dismiss": Role.APPROVER,
    "POST /misses/restore": Role.APPROVER,
    "POST /approvals": Role.APPROVER,
    "GET /users": Role.ADMINISTRATOR,
    "POST /users": Role.ADMINISTRATOR,
    "GET /users/{user_id}": Role.ADMINISTRATOR,
    "PATCH /users/{user_id}": Role.ADMINISTRATOR,
    "POST /users/{user_id}/password": Role.ADMINISTRATOR,
}


def right_name(match: ResolverMatch, method: str) -> str:
    """Return under which name the answer to a request stands in the table."""
    if API_NAMESPACE not in match.namespaces:
        return match.url_name or ""
    return f"{'GET' if method == 'HEAD' else method} {_path(match)}"


def methods_of(match: ResolverMatch) -> list[str]:
    """Return the methods that the table has for an address of the API."""
    path = _path(match)
    return sorted(name.partition(" ")[0] for name in RIGHTS if name.partition(" ")[2] == path)


def _path(match: ResolverMatch) -> str:
    return _PARAMETER.sub(r"{\1}", match.route.removeprefix(API_PREFIX))
