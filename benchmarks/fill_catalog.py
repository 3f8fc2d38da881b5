"""Put files into a mirror's catalog: `python -m benchmarks.fill_catalog DATA present FILE… | declared`.

`present`: FILEs are stored as http://mirror.test/NAME and https://mirror.test/NAME. `declared`: the
URIs on standard input are declared and wait for a downloader. A process of its own, because Django
is set up once in a process, for one database.
"""

import argparse
import hashlib
import sys
from datetime import timedelta
from pathlib import Path

from django.db import transaction

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog import database

HOST = "mirror.test"
OWNER = "benchmark"
CHUNK_BYTES = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("verb", choices=("present", "declared"))
    parser.add_argument("files", type=Path, nargs="*")
    arguments = parser.parse_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    database.configure(f"sqlite:///{arguments.data.absolute()}/catalog.sqlite3")
    database.migrate()
    store = DiskBlobStore(arguments.data / "blobs")
    store.prepare()
    if arguments.verb == "declared":
        with transaction.atomic():
            for uri in sys.stdin.read().split():
                _declare(uri, store)
    for path in arguments.files:
        sha256 = _store(path, store)
        for scheme in ("http", "https"):
            _record(_declare(f"{scheme}://{HOST}/{path.name}", store), sha256, path.stat().st_size)


def _declare(uri: str, store: DiskBlobStore) -> int:
    from distfile_mirror.catalog.declare import FileDeclaration, declare_file  # noqa: PLC0415 - after Django

    declaration = FileDeclaration(uri, "benchmarks", "to measure with")
    file_id: int = declare_file(declaration, actor=OWNER, digests_of=store.digests).file.pk
    return file_id


def _store(path: Path, store: DiskBlobStore) -> str:
    writer, hasher = store.create(), hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            writer.write(data)
            hasher.update(data)
    writer.commit(hasher.hexdigest())
    return hasher.hexdigest()


def _record(file_id: int, sha256: str, size: int) -> None:
    from distfile_mirror.catalog import queue  # noqa: PLC0415 - after Django

    queue.claim(OWNER, limit=1, lease=timedelta(minutes=1))
    headers = {"Content-Type": "application/octet-stream"}
    queue.record(OWNER, [queue.Fetched(file_id, sha256, size, {"sha256": sha256}, headers, "")])


if __name__ == "__main__":
    main()
