"""The queue under measurement: `python -m benchmarks.claim_rows URL fill FROM TO | settle N | claim OWNER N | reset`.

`fill` makes rows that are due, numbered from FROM to before TO; `settle` makes all but the N that are due first
present. `claim` says `ready`, waits for a line, claims N rows
as a downloader does, in batches, and prints JSON: the moments when it began and ended, in seconds of the machine's
monotonic clock, and the rows' keys. `reset` makes what was claimed due again, as it was, and prints how many rows.
A process of its own for each, as downloaders are.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from benchmarks.invented import invented_file
from distfile_mirror.catalog import database
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import uri_key

# What a downloader with the default settings claims at a time, if nothing waits: four times its concurrency.
BATCH_ROWS = 128
LEASE = timedelta(hours=6)
FILL_ROWS = 20_000
FIRST_DUE = datetime(2023, 1, 1, tzinfo=UTC)
_COLUMNS = (
    *("uri", "uri_key", "host", "state", "message", "due_at", "lease_owner", "attempts", "received_bytes"),
    *("created_at", "expected", "fallback_uris", "sha256", "digests", "headers", "final_uri"),
)


def fill(numbers: range) -> None:
    """Add pending files, each due a millisecond after the one before."""
    database.migrate()
    for begin in range(0, len(numbers), FILL_ROWS):
        with transaction.atomic(), connection.cursor() as cursor:
            values = [_row(number) for number in numbers[begin : begin + FILL_ROWS]]
            names, places = ", ".join(_COLUMNS), ", ".join(["%s"] * len(_COLUMNS))
            cursor.executemany(f"INSERT INTO catalog_file ({names}) VALUES ({places})", values)
    _tidy()


def settle(left: int) -> None:
    """Let all files be present but the ``left`` that are due first, as if they had come a while ago."""
    database.check()
    last = "(SELECT due_at FROM catalog_file ORDER BY due_at LIMIT 1 OFFSET %s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE catalog_file SET state = %s, due_at = NULL WHERE due_at > {last}",
            [State.PRESENT.value, left - 1],
        )
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM (FULL) catalog_file")
    _tidy()


def claim(owner: str, rows: int) -> None:
    """Claim ``rows`` rows for ``owner``, once told to begin."""
    from distfile_mirror.catalog import queue  # noqa: PLC0415 - after Django

    database.check()
    print("ready", flush=True)
    sys.stdin.readline()
    claimed: list[int] = []
    begin = time.monotonic()
    while len(claimed) < rows:
        limit = min(BATCH_ROWS, rows - len(claimed))
        claimed += [each.row_id for each in queue.claim(owner, limit=limit, lease=LEASE)]
    print(json.dumps({"begin": begin, "end": time.monotonic(), "claimed": claimed}))


def reset() -> None:
    """Make what was claimed due again, when it was due before, and tidy up as the database would in time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_file SET state = %s, lease_owner = '', due_at = created_at WHERE state = %s",
            [State.PENDING.value, State.FETCHING.value],
        )
        print(cursor.rowcount)
    _tidy()


def _row(number: int) -> Sequence[Any]:
    file = invented_file(number)
    due = connection.ops.adapt_datetimefield_value(FIRST_DUE + timedelta(milliseconds=number))
    return (
        *(file.uri, uri_key(file.uri), file.host, State.PENDING.value, "", due, "", 0, 0),
        *(due, "{}", "[]", "", "{}", "{}", ""),
    )


def _tidy() -> None:
    """Let the database forget rows that were changed, and know how many there are."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("ANALYZE")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            cursor.execute("VACUUM (ANALYZE) catalog_file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("verb", choices=("fill", "settle", "claim", "reset"))
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    database.configure(given.url)
    match given.verb, given.arguments:
        case "fill", [first, end]:
            fill(range(int(first), int(end)))
        case "settle", [left]:
            settle(int(left))
        case "claim", [owner, rows]:
            claim(owner, int(rows))
        case "reset", []:
            reset()
        case _:
            parser.error("see the head of this file")


if __name__ == "__main__":
    main()
