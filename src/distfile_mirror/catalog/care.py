"""Whether the database has the tables of care_models yet: components of two releases run side by side."""

import time

from django.db import DatabaseError, connection
from django.db.models import Exists, OuterRef, Value
from django.db.models.expressions import Combinable

from distfile_mirror.catalog.care_models import DamagedBlob, Round
from distfile_mirror.catalog.database import available

ASK_AGAIN_SECONDS = 30.0

_ready = False
_asked_at = float("-inf")


def is_ready() -> bool:
    """Tell whether the migration has run. Raises UnavailableError."""
    global _ready, _asked_at  # noqa: PLW0603 - it becomes true once for the whole process
    if not _ready and time.monotonic() - _asked_at >= ASK_AGAIN_SECONDS:
        with available():
            _ready = _has_table()
        _asked_at = time.monotonic()
    return _ready


def is_damaged(column: str) -> Combinable:
    """Return an expression that tells whether the blob whose sha256 ``column`` has is damaged. Raises as is_ready."""
    if not is_ready():
        return Value(False)
    return Exists(DamagedBlob.objects.filter(sha256=OuterRef(column), repaired_at__isnull=True))


def _has_table() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {Round._meta.db_table} LIMIT 1")  # noqa: S608, SLF001 - own name
    except DatabaseError as error:
        if _is_missing_table(error):
            return False
        raise
    return True


def _is_missing_table(error: DatabaseError) -> bool:
    text = str(error)
    return "no such table" in text or "does not exist" in text or "permission denied" in text
