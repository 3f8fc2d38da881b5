"""Tells Django of the catalog."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The catalog as a Django application."""

    name = "distfile_mirror.catalog"
    label = "catalog"
    default_auto_field = "django.db.models.BigAutoField"
