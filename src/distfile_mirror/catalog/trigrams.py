"""Which URIs contain a text, by SQLite's index of their trigrams (ADR 0023).

The index tells which URIs have some of the text's trigrams anywhere; LIKE then says which have the text. SQLite's LIKE
takes ASCII letters of either case for the same, as the index does.
"""

from django.db import connection

from distfile_mirror.catalog.database import available

LENGTH = 3
# Those of a long text, evenly spread: a few tell as much as all, and each costs a pass through its list.
MOST_LOOKED_UP = 12

_BY_TRIGRAMS = r"""
    SELECT uris.file_id FROM catalog_fileuri_trigrams AS found
    CROSS JOIN catalog_fileuri AS uris ON uris.file_id = found.rowid
    WHERE found.catalog_fileuri_trigrams MATCH %s AND uris.uri LIKE %s ESCAPE '\' LIMIT %s
"""
# A shorter text has none: the URIs are read, from one end to the other if need be.
_BY_READING = r"SELECT file_id FROM catalog_fileuri WHERE uri LIKE %s ESCAPE '\' LIMIT %s"


def keys_of_uris_with(text: str, *, limit: int) -> list[int]:
    """Return the keys of ``limit`` files, or fewer, whose URI contains ``text``. Raises UnavailableError."""
    with available(), connection.cursor() as cursor:
        if has_trigrams(text):
            cursor.execute(_BY_TRIGRAMS, (match_expression(text), _like(text), limit))
        else:
            cursor.execute(_BY_READING, (_like(text), limit))
        return [key for (key,) in cursor.fetchall()]


def has_trigrams(text: str) -> bool:
    """Tell whether ``text`` can be looked up; to SQLite an expression ends at a NUL."""
    return len(text) >= LENGTH and "\0" not in text


def match_expression(text: str) -> str:
    """Return what FTS5 takes for the trigrams of ``text``, each a quoted string: there must be all of them."""
    trigrams = list(dict.fromkeys(text[begin : begin + LENGTH] for begin in range(len(text) - LENGTH + 1)))
    count = min(len(trigrams), MOST_LOOKED_UP)
    spread = (trigrams[number * len(trigrams) // count] for number in range(count))
    return " ".join('"' + trigram.replace('"', '""') + '"' for trigram in spread)


def _like(text: str) -> str:
    """Return the pattern of what contains ``text``: what LIKE takes for wildcards stands for itself."""
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
