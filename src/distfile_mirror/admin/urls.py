"""Which address is answered by what."""

from django.urls import path

from distfile_mirror.admin import monitoring, pages
from distfile_mirror.admin.api import api

urlpatterns = [
    path("", pages.files, name="files"),
    path("files/declare", pages.declare, name="declare"),
    path("files/<int:file_id>", pages.file, name="file"),
    path("files/<int:file_id>/retry", pages.retry, name="retry"),
    path("files/<int:file_id>/block", pages.block, name="block"),
    path("files/<int:file_id>/unblock", pages.unblock, name="unblock"),
    path("health", monitoring.health, name="health"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("api/v1/", api.urls),
]

handler400 = "distfile_mirror.admin.error_pages.bad_request"
handler403 = "distfile_mirror.admin.error_pages.forbidden"
handler404 = "distfile_mirror.admin.error_pages.not_found"
handler500 = "distfile_mirror.admin.error_pages.server_error"
