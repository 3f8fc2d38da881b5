"""Serving from an object store: hot against the same proxy with a folder, cold against the store itself.

The store is the S3 server of the tests, a Ceph gateway that keeps its objects in memory.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore

from benchmarks.fixtures import FEW_FILES, Mirror, Site, mirror, uri_of
from benchmarks.machine import CLIENT_CORE, FailedToRunError, cpu_of, on_core
from benchmarks.rows import Group, Measure, Row, Target, measured
from benchmarks.serving import CONNECTIONS, REQUESTS, curl, hey
from distfile_mirror.blobs.store import blob_key
from tests.ceph_gateway import CephGateway

BUCKET = "benchmarks"
PREFIX = "mirror"
CACHE_BYTES = 4 << 30
HOT = Target(1.2)
FIRST_BYTE = Target(4.0)
WHOLE = Target(3.0)
METHOD = (
    "*Hot*: server CPU as under *Serving*, of a proxy whose blobs are in the bucket and by now in its cache on disk, "
    f"beside one with the same files in a folder; `hey` asks {REQUESTS} times over {CONNECTIONS} connections, `curl` "
    "for 1 GiB. *Cold*: wall time of one `curl` by plain HTTP, to the first byte and to the last, from a proxy that "
    "was started with an empty cache and asked for one small file; the peer is `curl` with a signed URL at the gateway "
    "itself. Cold, the proxy fetches, hashes, writes to its disk and serves at the same time, and holds the last "
    "64 KiB back until the digest is right. The store is a Ceph gateway with its objects in memory on the same two "
    "cores, so both cold figures have its work in them."
)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The site in a bucket: a data folder without blobs, its configuration, and where the store has 1 GiB itself."""

    data: Path
    config: Path
    direct: str

    @contextmanager
    def cold(self) -> Iterator[Mirror]:
        """Run a proxy that has nothing in its cache."""
        shutil.rmtree(self.data / "cache", ignore_errors=True)
        with mirror(self.data, self.config) as running:
            yield running


def object_storage(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure hot and cold."""
    rows = []

    def add(row: Row) -> None:
        rows.append(row)
        tell(row)

    with CephGateway() as gateway:
        stored = _store(site, gateway)
        with ExitStack() as stack:
            ours = stack.enter_context(stored.cold())
            folder = stack.enter_context(mirror(site.data(FEW_FILES)))
            for measure in _hot(site, ours, folder):
                add(measured(measure))
        for measure in _cold(site, stored):
            add(measured(measure))
    return Group("Serving from an object store (S3)", "folder, or the store", METHOD, tuple(rows))


def _hot(site: Site, ours: Mirror, folder: Mirror) -> list[Measure]:
    def of_both(count: int, ask: Callable[[str], None]) -> Callable[[], tuple[float, float]]:
        proxies = [(each.pid, f"http://127.0.0.1:{each.port}") for each in (ours, folder)]

        def once() -> tuple[float, float]:
            first, second = (cpu_of(pid, lambda proxy=proxy: ask(proxy)) / count for pid, proxy in proxies)
            return first, second

        return once

    def small(scheme: str) -> Callable[[], tuple[float, float]]:
        return of_both(REQUESTS, lambda proxy: hey(REQUESTS, "-x", proxy, uri_of(site.small, scheme)))

    def large(scheme: str) -> Callable[[], tuple[float, float]]:
        return of_both(1, lambda proxy: curl("--proxy", proxy, uri_of(site.large, scheme)))

    return [
        Measure("HTTP, 1 KiB, keep-alive, hot", "µs", 1e6, small("http"), HOT),
        Measure("HTTPS, 1 KiB, keep-alive, hot", "µs", 1e6, small("https"), HOT),
        Measure("HTTPS, 1 GiB, hot", "s", 1, large("https"), HOT),
        Measure("HTTP, 1 GiB, hot", "s", 1, large("http"), HOT),
    ]


def _cold(site: Site, stored: _Stored) -> list[Measure]:
    def once(what: str) -> Callable[[], tuple[float, float]]:
        def measure() -> tuple[float, float]:
            with stored.cold() as ours:
                proxy = f"http://127.0.0.1:{ours.port}"
                warm_up = ["curl", "--silent", "--fail", "--output", "/dev/null", "--proxy", proxy]
                on_core(CLIENT_CORE, [*warm_up, uri_of(site.small, "http")])
                through = _timed(what, "--proxy", proxy, uri_of(site.large, "http"))
            return through, _timed(what, stored.direct)

        return measure

    return [
        Measure("first byte of 1 GiB, cold", "ms", 1e3, once("time_starttransfer"), FIRST_BYTE),
        Measure("HTTP, 1 GiB, cold", "s", 1, once("time_total"), WHOLE),
    ]


def _timed(what: str, *arguments: str) -> float:
    """Return a time, in seconds, that curl has measured of a whole transfer."""
    return float(curl(*arguments, write_out=f"%{{{what}}}"))


def _store(site: Site, gateway: CephGateway) -> _Stored:
    """Put the blobs of the small catalog into a bucket, and make a data folder for it."""
    source, data = site.data(FEW_FILES), site.work / "data-s3"
    data.mkdir()
    with sqlite3.connect(source / "catalog.sqlite3") as catalog, sqlite3.connect(data / "catalog.sqlite3") as copy:
        catalog.backup(copy)
    shutil.copytree(source / "ca", data / "ca")
    gateway.make_bucket(BUCKET)
    bucket = gateway.store(BUCKET, PREFIX)
    blobs = [path for path in (source / "blobs" / "sha256").rglob("*") if path.is_file()]
    for path in blobs:
        obstore.put(bucket, blob_key(path.name), path)
    with site.large.open("rb") as file:
        large = hashlib.file_digest(file, "sha256").hexdigest()
    if obstore.head(bucket, blob_key(large))["size"] != site.large.stat().st_size:
        raise FailedToRunError("the gateway has not stored the large file")
    direct = obstore.sign(bucket, "GET", blob_key(large), timedelta(days=1))
    return _Stored(data, _configure(site.work, gateway), direct)


def _configure(work: Path, gateway: CephGateway) -> Path:
    (work / "s3-id").write_text(gateway.access_key)
    (work / "s3-secret").write_text(gateway.secret_key)
    config = work / "s3.toml"
    config.write_text(
        f'blobs_url = "s3://{BUCKET}/{PREFIX}"\n'
        f's3_endpoint = "{gateway.endpoint}"\n'
        f's3_access_key_id_file = "{work / "s3-id"}"\n'
        f's3_secret_access_key_file = "{work / "s3-secret"}"\n'
        f"cache_bytes = {CACHE_BYTES}\n"
    )
    return config
