"""Counts what is stored, day by day, so that nobody has to count a million rows."""

from django.utils import timezone

from distfile_mirror.catalog.bulk import add_up_rows
from distfile_mirror.catalog.models import Growth


def add_growth(*, files: int = 0, images: int = 0, stored_bytes: int = 0) -> None:
    """Add to today's count; ``stored_bytes`` counts what several artifacts share for each. Inside a transaction."""
    if files or images or stored_bytes:
        row = {"day": timezone.now().date(), "files": files, "images": images, "stored_bytes": stored_bytes}
        add_up_rows(Growth, [row], unique=["day"], added=["files", "images", "stored_bytes"])
