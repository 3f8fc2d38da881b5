"""Which address is answered by what."""

from django.urls import path

from distfile_mirror.admin import image_pages, monitoring, pages
from distfile_mirror.admin.api import api

urlpatterns = [
    path("", pages.files, name="files"),
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
    path("health", monitoring.health, name="health"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("api/v1/", api.urls),
]

handler400 = "distfile_mirror.admin.error_pages.bad_request"
handler403 = "distfile_mirror.admin.error_pages.forbidden"
handler404 = "distfile_mirror.admin.error_pages.not_found"
handler500 = "distfile_mirror.admin.error_pages.server_error"
