"""The stores of the contract suite, and what a test does to one behind its back."""

import itertools
import json
import sys
from pathlib import Path

import obstore

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.locations import BlobsLocation
from distfile_mirror.blobs.object_connection import S3Settings, connect
from distfile_mirror.blobs.object_store import ObjectBlobStore
from distfile_mirror.blobs.store import blob_key
from tests.ceph_gateway import BUCKET, REGION

_PREFIXES = itertools.count()


class DiskPlace:
    """A folder."""

    def __init__(self, folder):
        self.arguments = {"kind": "disk", "folder": str(folder)}
        self.root = folder / "blobs"
        self.spool = self.root / "incoming"
        self.store = DiskBlobStore(self.root)
        self.store.prepare()

    def overwrite(self, sha256, content):
        """Let the place of a blob hold something else."""
        path = self.root / blob_key(sha256)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def remove(self, sha256):
        """Take a blob away."""
        (self.root / blob_key(sha256)).unlink()

    def version(self, sha256):
        """Return what changes whenever the blob is written."""
        status = (self.root / blob_key(sha256)).stat()
        return status.st_ino, status.st_mtime_ns

    def keys(self):
        """Return the place of everything that is stored."""
        return {str(path.relative_to(self.root)) for path in self.root.glob("sha256/*/*")}


class ObjectPlace:
    """What is alike in all object stores: ``_objects`` is the store behind the product's back."""

    def overwrite(self, sha256, content):
        obstore.put(self._objects, blob_key(sha256), content)

    def remove(self, sha256):
        obstore.delete(self._objects, blob_key(sha256))

    def version(self, sha256):
        meta = obstore.head(self._objects, blob_key(sha256))
        return meta["last_modified"], meta["e_tag"]

    def keys(self):
        return {meta["path"] for page in obstore.list(self._objects) for meta in page}


class S3Place(ObjectPlace):
    """A prefix of a bucket in an S3 server."""

    def __init__(self, folder, endpoint, access_key, secret_key, *, bucket=BUCKET, prefix=None):
        prefix = prefix or f"some/prefix-{next(_PREFIXES)}"
        self.arguments = {
            "kind": "s3",
            "folder": str(folder),
            "endpoint": endpoint,
            "access_key": access_key,
            "secret_key": secret_key,
            "bucket": bucket,
            "prefix": prefix,
        }
        self.spool = folder / "spool"
        self.settings = S3Settings(
            endpoint=endpoint,
            region=REGION,
            access_key_id_file=secret_file(folder / "key-id", access_key),
            secret_access_key_file=secret_file(folder / "secret", secret_key),
        )
        location = BlobsLocation("s3", bucket, prefix)
        self.connections = connect(location, self.settings)
        self._objects = self.connections.reading
        self.store = ObjectBlobStore(self.connections, name=str(location), folder=self.spool)
        self.store.prepare()


class EnvironmentPlace(ObjectPlace):
    """A prefix of what the environment leads to: Azure's blobs, or Google's, as ``kind`` says."""

    def __init__(self, folder, kind, bucket, prefix=None):
        prefix = prefix or f"some/prefix-{next(_PREFIXES)}"
        self.arguments = {"kind": kind, "folder": str(folder), "bucket": bucket, "prefix": prefix}
        self.spool = folder / "spool"
        location = BlobsLocation(kind, bucket, prefix)
        connections = connect(location, S3Settings())
        self._objects = connections.reading
        self.store = ObjectBlobStore(connections, name=str(location), folder=self.spool)
        self.store.prepare()


def secret_file(path, content):
    """Write a secret into a file, unless it is there: another process may be reading it."""
    if not path.exists():
        path.write_text(content + "\n")
        path.chmod(0o600)
    return path


def open_place(kind, folder, **more):
    """Return a place as another one's ``arguments`` say."""
    if kind in {"gs", "az"}:
        return EnvironmentPlace(Path(folder), kind, **more)
    return {"disk": DiskPlace, "s3": S3Place}[kind](Path(folder), **more)


def say(word):
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def write_and_wait(command, arguments, content="half of it"):
    """In a process of its own: write, say so, and then wait to be killed (or ``commit``)."""
    import hashlib
    import time

    data = Path(content).read_bytes() if command == "commit" else content.encode()
    writer = open_place(**json.loads(arguments)).store.create()
    writer.write(data)
    say("written")
    if command == "commit":
        writer.commit(hashlib.sha256(data).hexdigest())
        say("committed")
    time.sleep(60)


if __name__ == "__main__":
    write_and_wait(*sys.argv[1:])
