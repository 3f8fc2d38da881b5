"""Fill a catalog with very many present files: `python -m benchmarks.million DATA [--files N]`.

The rows go in by plain SQL in batches, through Django's connection; the same N gives the same
rows. All files have one content of 1 KiB, so the blob store holds one blob more. Hosts, projects,
reasons, licences, uses and audit events are spread as in a company that builds a lot; a third was
served to some build, and a tenth as many more things were asked for in vain.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from benchmarks.invented import PROJECTS, InventedFile, invented_file, invented_uses, project_name
from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog import database
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import uri_key

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BATCH_FILES = 20_000
FIRST_DAY = datetime(2023, 1, 1, tzinfo=UTC)
SPREAD_MINUTES = 3 * 365 * 24 * 60
DOWNLOAD_TIME = timedelta(seconds=20)
CACHE_KIB = 512 * 1024

Values = Sequence[Any]


def fill(data: Path, files: int) -> None:
    """Add ``files`` present files to the catalog in ``data``, which must not hold them yet."""
    data.mkdir(parents=True, exist_ok=True)
    database.configure(f"sqlite:///{data.absolute()}/catalog.sqlite3")
    database.migrate()
    from benchmarks.sightings import add_sightings  # noqa: PLC0415 - Django first, then what has models
    from distfile_mirror.catalog import models  # noqa: PLC0415

    _store_content(data / "blobs")
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    newest = models.File.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    projects = {
        number: models.Project.objects.get_or_create(name=project_name(number))[0].pk for number in range(PROJECTS)
    }
    tables = [model._meta.db_table for model in (models.File, models.Use, models.AuditEvent)]  # noqa: SLF001
    for begin in range(0, files, BATCH_FILES):
        with transaction.atomic():
            _add(tables, range(begin, min(files, begin + BATCH_FILES)), newest + 1, projects, files)
    with transaction.atomic():
        add_sightings(newest + 1, files)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _add(tables: Sequence[str], numbers: Iterable[int], first_id: int, projects: dict[int, int], files: int) -> None:
    rows, uses, events = [], [], []
    for number in numbers:
        file, file_id = invented_file(number), first_id + number
        declared = FIRST_DAY + timedelta(minutes=number * SPREAD_MINUTES // files)
        rows.append(_file_row(file, file_id, declared))
        events += _event_rows(file, file_id, declared)
        for use in invented_uses(number):
            at = _sql_time(declared)
            uses.append((file_id, projects[use.project], use.reason, use.licence, use.declared_by, at, use.fingerprint))
    _insert(tables[0], _FILE_COLUMNS, rows)
    _insert(
        tables[1], ("file_id", "project_id", "reason", "licence", "declared_by", "declared_at", "fingerprint"), uses
    )
    _insert(tables[2], ("at", "actor", "action", "subject_kind", "subject_id", "subject", "before", "after"), events)


_FILE_COLUMNS = (
    *("id", "uri", "uri_key", "host", "state", "message", "due_at", "lease_owner", "attempts"),
    *("received_bytes", "total_bytes", "created_at", "expected", "fallback_uris"),
    *("sha256", "size", "digests", "headers", "final_uri", "fetched_at"),
)


def _file_row(file: InventedFile, file_id: int, declared: datetime) -> Values:
    size = len(CONTENT)
    digests = json.dumps({"sha256": SHA256})
    headers = json.dumps({"Content-Type": file.content_type, "Last-Modified": "Sun, 01 Jan 2023 00:00:00 GMT"})
    return (
        *(file_id, file.uri, uri_key(file.uri), file.host, State.PRESENT.value, "", None, "", 0),
        *(size, size, _sql_time(declared), digests, "[]"),
        *(SHA256, size, digests, headers, file.uri, _sql_time(declared + DOWNLOAD_TIME)),
    )


def _event_rows(file: InventedFile, file_id: int, declared: datetime) -> list[Values]:
    subject = ("file", file_id, file.uri)
    fetched = json.dumps({"state": "present", "sha256": SHA256, "size": len(CONTENT), "final_uri": file.uri})
    return [
        (_sql_time(declared), "bench", "declared", *subject, "{}", json.dumps({"expected": {"sha256": SHA256}})),
        (_sql_time(declared + DOWNLOAD_TIME), "downloader", "fetched", *subject, '{"state": "fetching"}', fetched),
    ]


def _sql_time(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _insert(table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
    names = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({places})', rows)


def _store_content(folder: Path) -> None:
    store = DiskBlobStore(folder)
    store.prepare()
    writer = store.create()
    writer.write(CONTENT)
    writer.commit(SHA256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the data folder of the mirror")
    parser.add_argument("--files", type=int, default=1_000_000, help="how many files; one million by default")
    arguments = parser.parse_args()
    begin = time.monotonic()
    fill(arguments.data, arguments.files)
    seconds = time.monotonic() - begin
    sys.stderr.write(f"{arguments.files} files added to {arguments.data} in {seconds:.0f} seconds\n")


if __name__ == "__main__":
    main()
