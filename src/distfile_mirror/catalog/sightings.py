"""Writes what the proxies saw: hits per artifact and label, misses per name and source, traffic per hour."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import transaction

from distfile_mirror.catalog.bulk import add_up_rows
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.models import Hit, Miss, MissSource, Traffic
from distfile_mirror.catalog.seen import ArtifactKind, MissKey, Seen, Sightings
from distfile_mirror.model.uris import parse_file_uri

KEYS_AT_ONCE = 500


def write_sightings(sightings: Sightings) -> None:
    """Add ``sightings`` to what was seen before. Raises UnavailableError, and nothing was written."""
    with available(), transaction.atomic():
        _write_hits(sightings)
        _write_misses(sightings)
        _write_traffic(sightings)


def miss_key(kind: ArtifactKind, name: str) -> bytes:
    """Return the 32 bytes by which a miss is known."""
    return hashlib.sha256(f"{kind} {name}".encode("utf-8", "surrogateescape")).digest()


def settle(kind: ArtifactKind, names: Iterable[str]) -> None:
    """Take what has been fetched off the list of misses. To be called inside a transaction."""
    keys = [miss_key(kind, name) for name in names]
    for first in range(0, len(keys), KEYS_AT_ONCE):
        Miss.objects.filter(key__in=keys[first : first + KEYS_AT_ONCE], is_open=True).update(is_open=False)


def _write_hits(sightings: Sightings) -> None:
    rows = [
        {"kind": artifact.kind.value, "artifact_id": artifact.row_id, "label": label, **_times(seen)}
        for artifact, label, seen in sightings.hits
    ]
    add_up_rows(Hit, rows, unique=["kind", "artifact_id", "label"], added=["count"], latest=["last_at"])


def _write_misses(sightings: Sightings) -> None:
    rows: dict[bytes, dict[str, object]] = {}
    for key, seen in sightings.misses:
        known = rows.setdefault(miss_key(key.kind, key.name), {**_facts(key), **_times(Seen(0, seen.first_at, 0))})
        known["count"] = int(str(known["count"])) + seen.count
        known["last_at"] = _moment(seen.last_at)
        known["reason"] = key.reason.value
    add_up_rows(
        Miss,
        [{"key": key, **row} for key, row in rows.items()],
        unique=["key"],
        added=["count"],
        latest=["last_at", "reason", "is_open"],
    )
    ids = dict(_ids(list(rows)))
    sources = [
        {
            "miss_id": ids[miss_key(key.kind, key.name)],
            "label": key.label,
            "client": key.client,
            "reason": key.reason.value,
            **_times(seen),
        }
        for key, seen in sightings.misses
    ]
    add_up_rows(
        MissSource, sources, unique=["miss_id", "label", "client", "reason"], added=["count"], latest=["last_at"]
    )


def _write_traffic(sightings: Sightings) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hits = sum(seen.count for _artifact, _label, seen in sightings.hits)
    misses = sum(seen.count for _key, seen in sightings.misses)
    row = {"hour": now, "hits": hits, "misses": misses, "sent_bytes": sightings.sent_bytes}
    add_up_rows(Traffic, [row], unique=["hour"], added=["hits", "misses", "sent_bytes"])


def _facts(key: MissKey) -> dict[str, object]:
    return {
        "kind": key.kind.value,
        "name": key.name,
        "host": _host(key),
        "reason": key.reason.value,
        "is_open": True,
        "is_dismissed": False,
    }


def _host(key: MissKey) -> str:
    if key.kind is ArtifactKind.IMAGE:
        return key.name.partition("/")[0]
    try:
        return parse_file_uri(key.name).authority.host
    except ValueError:
        return ""


def _ids(keys: list[bytes]) -> Iterable[tuple[bytes, int]]:
    for first in range(0, len(keys), KEYS_AT_ONCE):
        rows = Miss.objects.filter(key__in=keys[first : first + KEYS_AT_ONCE]).values_list("key", "pk")
        yield from ((bytes(key), row_id) for key, row_id in rows)


def _times(seen: Seen) -> dict[str, object]:
    return {"count": seen.count, "first_at": _moment(seen.first_at), "last_at": _moment(seen.last_at)}


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
