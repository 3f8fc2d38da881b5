"""Which address is answered by what."""

from django.urls import path

from distfile_mirror.admin import (
    account_pages,
    approval_pages,
    audit_page,
    bulk_pages,
    home_page,
    image_pages,
    miss_pages,
    monitoring,
    oidc,
    pages,
    project_pages,
    setup_page,
    themes,
    user_pages,
)
from distfile_mirror.admin.api import api
from distfile_mirror.admin.sign_in import OIDC

urlpatterns = [
    path("", home_page.home, name="home"),
    path("theme", themes.choose_theme, name="theme"),
    path("setup", setup_page.setup, name="setup"),
    path("ca.pem", setup_page.certificate, {"form": "pem"}, name="ca_pem"),
    path("ca.der", setup_page.certificate, {"form": "der"}, name="ca_der"),
    path("ca.p12", setup_page.certificate, {"form": "p12"}, name="ca_p12"),
    path("registries", image_pages.registries, name="registries"),
    path("registries/<int:registry_id>", image_pages.registry, name="registry"),
    path("misses", miss_pages.misses, name="misses"),
    path("misses/change", miss_pages.change, name="change_misses"),
    path("projects", project_pages.projects, name="projects"),
    path("projects/unknown-licences", project_pages.unknown_licences, name="unknown_licences"),
    path("projects/unused", project_pages.unused, name="unused"),
    path("projects/undeclared", project_pages.undeclared, name="undeclared"),
    path("projects/<int:project_id>", project_pages.project, name="project"),
    path("projects/<int:project_id>/artifacts.csv", project_pages.export_csv, name="project_csv"),
    path("projects/<int:project_id>/sbom.cdx.json", project_pages.export_sbom, name="project_sbom"),
    path("audit", audit_page.audit, name="audit"),
    path("audit.csv", audit_page.export, name="audit_csv"),
    path("files", pages.files, name="files"),
    path("files/change", bulk_pages.change_files, name="change_files"),
    path("files/declare", pages.declare, name="declare"),
    path("files/<int:file_id>", pages.file, name="file"),
    path("files/<int:file_id>/retry", pages.retry, name="retry"),
    path("files/<int:file_id>/block", pages.block, name="block"),
    path("files/<int:file_id>/unblock", pages.unblock, name="unblock"),
    path("images", image_pages.images, name="images"),
    path("images/declare", image_pages.declare, name="declare_image"),
    path("images/<int:image_id>", image_pages.image, name="image"),
    path("images/<int:image_id>/platforms", image_pages.choose, name="choose_platforms"),
    path("images/<int:image_id>/retry", image_pages.retry, name="retry_image"),
    path("images/<int:image_id>/block", image_pages.block, name="block_image"),
    path("images/<int:image_id>/unblock", image_pages.unblock, name="unblock_image"),
    path("requests", approval_pages.requests, name="requests"),
    path("requests/decide", approval_pages.decide, name="decide"),
    path("sign-in", account_pages.sign_in, name="sign_in"),
    path("sign-in/oidc", oidc.begin, {"provider_id": OIDC}, name="openid_connect_login"),
    path("sign-in/oidc/callback", oidc.come_back, {"provider_id": OIDC}, name="openid_connect_callback"),
    path("sign-out", account_pages.sign_out, name="sign_out"),
    path("account", account_pages.account, name="account"),
    path("account/password", account_pages.change_password, name="change_password"),
    path("account/tokens", account_pages.make_token, name="create_token"),
    path("account/tokens/<int:token_id>/revoke", account_pages.end_token, name="revoke_token"),
    path("users", user_pages.users, name="users"),
    path("users/<int:user_id>", user_pages.change, name="change_user"),
    path("health", monitoring.health, name="health"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("api/v1/", api.urls),
]

handler400 = "distfile_mirror.admin.error_pages.bad_request"
handler403 = "distfile_mirror.admin.error_pages.forbidden"
handler404 = "distfile_mirror.admin.error_pages.not_found"
handler500 = "distfile_mirror.admin.error_pages.server_error"
