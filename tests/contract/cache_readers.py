"""Readers of a cache: in this process, as the proxy reads, and others that may be killed."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from distfile_mirror.blobs.cached_blob import CachedBlob
from distfile_mirror.errors import StorageError

REPOSITORY = Path(__file__).parents[2]
GENEROUS = 1 << 30

READ = """
import json, structlog, sys
from pathlib import Path
from tests.contract.places import open_place, say
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from tests.contract.cache_readers import read_through, sha256_of
from distfile_mirror.blobs.read_through_cache import ReadThroughCache
place = open_place(**json.loads(sys.argv[1]))
with ReadThroughCache(place.store, Path(sys.argv[2]), limit=int(sys.argv[3])) as cache:
    say("ready")
    for line in sys.stdin:
        blob = cache.open(line.strip())
        say("opened")
        say("read" if sha256_of(read_through(blob)) == line.strip() else "wrong")
"""


def sha256_of(data):
    return hashlib.sha256(data).hexdigest()


def put(place, data):
    writer = place.store.create()
    writer.write(data)
    writer.commit(sha256_of(data))
    return sha256_of(data)


def read_through(blob, *, seconds=30):
    """Read all of a blob as the proxy does, closing it then; what came before an error is in its ``received``."""
    received = b""
    until = time.monotonic() + seconds
    try:
        with blob:
            while len(received) < blob.size:
                end = blob.readable_end(0, blob.size) if isinstance(blob, CachedBlob) else blob.size
                received += os.pread(blob.fd, end - len(received), len(received))
                assert time.monotonic() < until, f"{len(received)} of {blob.size} bytes"
                time.sleep(0.002)
    except StorageError as error:
        error.received = received
        raise
    return received


def wait_until(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def files(root):
    return {path.name for path in root.rglob("*") if path.is_file() and len(path.name) == 64}


def whole_files(root):
    return {path.name for path in root.glob("sha256/*/*")}


class Reader:
    """Another process with a cache of its own on the same folder."""

    def __init__(self, place, root, limit=GENEROUS):
        self.process = subprocess.Popen(
            [sys.executable, "-c", READ, json.dumps(place.arguments), root, str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert self.says() == "ready"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def says(self):
        """Return its next word, or nothing at its end."""
        return self.process.stdout.readline().strip()

    def ask(self, sha256):
        self.process.stdin.write(sha256 + "\n")
        self.process.stdin.flush()
