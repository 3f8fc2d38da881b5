"""Put files into a mirror's catalog: `python -m benchmarks.fill_catalog DATA present FILE… | declared`.

`present`: FILEs are stored as http://mirror.test/NAME and https://mirror.test/NAME, and as layers of an
image of the repository mirror.test/NAME. `declared`: the URIs on standard input are declared and wait
for a downloader. A process of its own, because Django is set up once in a process, for one database.
"""

import argparse
import hashlib
import json
import sys
from datetime import timedelta
from pathlib import Path

from django.db import transaction

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog import database
from distfile_mirror.model.digests import digest_of
from distfile_mirror.model.manifests import OCI_ARTIFACT

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
        _record_image(path.name, sha256, path.stat().st_size)


def _declare(uri: str, store: DiskBlobStore) -> int:
    from distfile_mirror.catalog.declare import FileDeclaration, declare_file  # noqa: PLC0415 - after Django

    declaration = FileDeclaration(uri, "benchmarks", "to measure with")
    file_id: int = declare_file(declaration, actor=OWNER, approved=True, digests_of=store.digests).file.pk
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


def _record_image(repository: str, sha256: str, size: int) -> None:
    from distfile_mirror.catalog import image_queue  # noqa: PLC0415 - after Django
    from distfile_mirror.catalog.declare_image import ImageDeclaration, declare_image  # noqa: PLC0415
    from distfile_mirror.catalog.image_facts import FetchedBlob, FetchedImage, FetchedManifest, Role  # noqa: PLC0415

    layer = FetchedBlob(f"sha256:{sha256}", sha256, size, "application/octet-stream", "layer")
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_ARTIFACT, "blobs": []}).encode()
    manifest = FetchedManifest(str(digest_of(content)), OCI_ARTIFACT, content, Role.IMAGE, blobs=[layer])
    declaration = ImageDeclaration(HOST, repository, manifest.digest, "benchmarks", "to measure with")
    image = declare_image(declaration, actor=OWNER, approved=True, default_platforms=["all"]).image
    image_queue.claim(OWNER, limit=1, lease=timedelta(minutes=1))
    image_queue.record(OWNER, [FetchedImage(image.pk, OCI_ARTIFACT, size, [manifest])])


if __name__ == "__main__":
    main()
