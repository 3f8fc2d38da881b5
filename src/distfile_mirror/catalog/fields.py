"""Columns that the ORM has not."""

from typing import Any

from django.db import models

from distfile_mirror.model.checksums import in_order


class ChecksumsField(models.JSONField):
    """A JSON object of algorithm -> hex, read with the strongest algorithm first: PostgreSQL keeps no order of keys."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """See Field.from_db_value."""
        found = super().from_db_value(value, expression, connection)
        return in_order(found) if isinstance(found, dict) else found

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Tell migrations of the column, which is like any other with JSON."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
