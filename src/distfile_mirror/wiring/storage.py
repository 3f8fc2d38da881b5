"""The blob store that a configuration asks for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from distfile_mirror.blobs.cache_filler import CacheCounts
from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.object_connection import S3Settings, connect
from distfile_mirror.blobs.object_store import ObjectBlobStore
from distfile_mirror.blobs.read_through_cache import ReadThroughCache
from distfile_mirror.blobs.store import BlobReader
from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.proxy.counters import Count


def make_data_dir(config: Config) -> None:
    """Create the data folder if need be. Raises ConfigurationError."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: {config.data_dir} cannot be created: {error.strerror}") from None


def open_blob_store(config: Config) -> DiskBlobStore | ObjectBlobStore:
    """Return the blob store, ready for use; an object store may be away. Raises StorageError, ConfigurationError."""
    make_data_dir(config)
    folder = config.blobs_location.folder
    store = DiskBlobStore(folder) if folder is not None else _object_store(config)
    store.prepare()
    return store


def _object_store(config: Config) -> ObjectBlobStore:
    settings = S3Settings(
        endpoint=config.s3_endpoint,
        region=config.s3_region,
        path_style=config.s3_path_style,
        access_key_id_file=config.s3_access_key_id_file,
        secret_access_key_file=config.s3_secret_access_key_file,
        ca_file=config.s3_ca,
    )
    try:
        connections = connect(config.blobs_location, settings)
    except ValueError as error:
        raise ConfigurationError(f"blobs_url: {error}") from None
    return ObjectBlobStore(connections, name=str(config.blobs_location), folder=config.data_dir / "spool")


class ProxiedBlobs(NamedTuple):
    """What a proxy reads blobs from, and what is counted there."""

    reader: BlobReader
    counts: Callable[[], Mapping[Count, int]]


@contextmanager
def proxied_blobs(config: Config) -> Iterator[ProxiedBlobs]:
    """Give the blob store as the proxy reads it: a folder as it is, an object store through the cache on disk.

    Raises:
        StorageError, ConfigurationError.
    """
    store = open_blob_store(config)
    if not isinstance(store, ObjectBlobStore):
        yield ProxiedBlobs(store, dict)
        return
    with ReadThroughCache(store, config.data_dir / "cache", limit=config.cache_bytes) as cache:
        yield ProxiedBlobs(cache, lambda: _counted(cache.counts))


def _counted(counts: CacheCounts) -> Mapping[Count, int]:
    return {
        Count.CACHE_HITS: counts.hits,
        Count.CACHE_FILLS: counts.fills,
        Count.CACHE_FILLED_BYTES: counts.filled_bytes,
        Count.CACHE_FILLS_FAILED: counts.failed,
        Count.CACHE_CORRUPT: counts.corrupt,
        Count.CACHE_EVICTED: counts.evicted,
    }
