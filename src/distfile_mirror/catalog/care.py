"""Whether the database has the tables of care_models yet: components of two releases run side by side."""

from django.db.models import Exists, OuterRef, Value
from django.db.models.expressions import Combinable

from distfile_mirror.catalog.care_models import DamagedBlob, Round
from distfile_mirror.catalog.table_presence import TablePresence

_rounds = TablePresence(Round, "0003_care")


def is_ready() -> bool:
    """Tell whether the migration has run. Raises UnavailableError."""
    return _rounds.is_there()


def is_damaged(column: str) -> Combinable:
    """Return an expression that tells whether the blob whose sha256 ``column`` has is damaged. Raises as is_ready."""
    if not is_ready():
        return Value(False)
    return Exists(DamagedBlob.objects.filter(sha256=OuterRef(column), repaired_at__isnull=True))
