"""Tells Django of the pages, so that it finds their templates and template tags."""

from django.apps import AppConfig


class AdminConfig(AppConfig):
    """The control plane as a Django application."""

    name = "distfile_mirror.admin"
    label = "mirror_admin"
