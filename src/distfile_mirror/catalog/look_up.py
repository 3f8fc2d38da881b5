"""The one question of the proxy: what is known of this URI?"""

from distfile_mirror.catalog.care import is_damaged
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.found import FoundFile
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.moderate import blocks_revision
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import uri_key


def find_file(uri: str) -> FoundFile | None:
    """Return what is known of the normalised ``uri``. Raises UnavailableError."""
    with available():
        row = (
            File.objects.filter(uri_key=uri_key(uri))
            .values_list(
                "pk",
                "uri",
                "state",
                "message",
                "sha256",
                "size",
                "headers",
                "received_bytes",
                "total_bytes",
                "fetched_at",
                is_damaged("sha256"),
            )
            .first()
        )
    if row is None:
        return None
    row_id, stored_uri, state, message, sha256, size, headers, received, total, fetched_at, damaged = row
    return FoundFile(
        row_id=row_id,
        uri=stored_uri,
        state=State(state),
        message=message,
        sha256=sha256,
        size=size or 0,
        headers=headers,
        received_bytes=received,
        total_bytes=total,
        fetched_at=fetched_at.timestamp() if fetched_at else 0.0,
        is_damaged=bool(damaged),
    )


def revision() -> int:
    """Return a number that changes whenever what was found before must be looked up again. Raises UnavailableError."""
    with available():
        return blocks_revision()
