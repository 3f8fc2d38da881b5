"""The condition that a file's URI or stored sha256 contains a text, as each database answers it best."""

import json

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.search_models import FileUri, are_uris_apart, have_trigrams
from distfile_mirror.catalog.trigrams import keys_of_uris_with

SHA256_DIGITS = 64
# A text that more files have is frequent: a page of them is found soon by looking at one file after the other, in the
# order asked for. So many keys or fewer are looked up in less than a tenth of a second.
FREQUENT = 50_000


def containing(text: str) -> Q:
    """Return the condition for ``text``, letters of either case. Raises UnavailableError."""
    return _by_keys(text) if have_trigrams() else Q(pk__in=_keys(text))


def _by_keys(text: str) -> Q:
    digest = _digest_condition(text)
    keys = keys_of_uris_with(text, limit=FREQUENT + 1)
    if digest is not None and len(keys) <= FREQUENT:
        with available():
            keys += _with_digest(digest).values_list("pk", flat=True)[: FREQUENT + 1]
    if len(keys) > FREQUENT:
        return Q(uri__icontains=text) | (digest or Q())
    return Q(pk__in=RawSQL("SELECT value FROM json_each(%s)", [json.dumps(keys)]))


def _keys(text: str) -> QuerySet[File, int] | QuerySet[FileUri, int]:
    """Return the keys of the files: two queries that each read one index alone."""
    table: type[File | FileUri] = FileUri if are_uris_apart() else File
    keys = table.objects.filter(uri__icontains=text).values_list("pk", flat=True)
    digest = _digest_condition(text)
    return keys if digest is None else keys.union(_with_digest(digest).values_list("pk", flat=True), all=True)


def _digest_condition(text: str) -> Q | None:
    """Return the condition of a sha256 that contains ``text``; None if none can."""
    if not set(text.lower()) <= set("0123456789abcdef"):
        return None
    return Q(sha256=text.lower()) if len(text) == SHA256_DIGITS else Q(sha256__contains=text.lower())


def _with_digest(condition: Q) -> QuerySet[File]:
    # As the index's own condition has it, so that databases take it.
    return File.objects.exclude(sha256="").filter(condition)
