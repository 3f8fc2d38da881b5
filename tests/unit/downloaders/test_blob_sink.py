"""A sink whose store cannot be reached for a while: what has come is stored when it is back."""

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.object_errors import UnreachableError
from distfile_mirror.downloaders import blob_sink
from distfile_mirror.downloaders.blob_sink import BlobSink, Meter
from distfile_mirror.downloaders.small_blobs import SMALL_BYTES, SmallBlobs
from distfile_mirror.errors import StorageError
from distfile_mirror.upstream.settings import Head


class AwayStore(DiskBlobStore):
    """Fails so many times, by ``error``, to store anything."""

    def __init__(self, folder, times, error):
        super().__init__(folder)
        self.prepare()
        self.times = times
        self._error = error

    def store_together(self, contents):
        self.fail()
        super().store_together(contents)

    def create(self):
        return AwayWriter(super().create(), self)

    def fail(self):
        if self.times:
            self.times -= 1
            raise self._error


class AwayWriter:
    """A writer of such a store."""

    def __init__(self, inner, store):
        self._inner = inner
        self._store = store
        self.write, self.restart, self.discard = inner.write, inner.restart, inner.discard

    def commit(self, sha256):
        self._store.fail()
        self._inner.commit(sha256)


async def store_by_sink(store, content, meter):
    with ThreadPoolExecutor(2) as pool:
        sink = BlobSink(
            store, pool, SmallBlobs(store, pool), expected_algorithms=(), max_bytes=len(content), meter=meter
        )
        await sink.start(Head(200, "", {}, ""))
        try:
            if sink.write(content):
                await sink.drain()
            return await sink.finish(lambda digests: None)
        finally:
            sink.discard()


@pytest.mark.parametrize("size", [10, SMALL_BYTES + 1, 3_000_000])
def test_it_is_tried_again_until_the_store_is_back(tmp_path, size, monkeypatch):
    monkeypatch.setattr(blob_sink, "AGAIN_SECONDS", 0.1)
    told = []
    store = AwayStore(tmp_path, 2, UnreachableError("away"))
    content = bytes(size)
    asyncio.run(store_by_sink(store, content, Meter(on_store_away=lambda: told.append(1))))
    assert len(told) == 2
    with store.open(hashlib.sha256(content).hexdigest()) as blob:
        assert blob.size == size


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_other_faults_are_told_at_once(tmp_path, size):
    store = AwayStore(tmp_path, 2, StorageError("it has another fault"))
    with pytest.raises(StorageError, match="another fault"):
        asyncio.run(store_by_sink(store, bytes(size), Meter()))
    assert store.times == 1


class FullStore(DiskBlobStore):
    """Has room for ``free`` writes."""

    def __init__(self, folder, free):
        super().__init__(folder)
        self.prepare()
        self.free = free
        self.written = []

    def create(self):
        writer = super().create()
        write = writer.write

        def write_if_free(data):
            self.written.append(len(data))
            if len(self.written) > self.free:
                raise StorageError("no room")
            write(data)

        writer.write = write_if_free
        return writer


async def pour(store, batches):
    """Write batches of 1 MiB; return when the sink has given up what it had made."""
    with ThreadPoolExecutor(2) as pool:
        sink = BlobSink(store, pool, SmallBlobs(store, pool), expected_algorithms=(), max_bytes=1 << 30, meter=Meter())
        await sink.start(Head(200, "", {}, ""))
        try:
            for _ in range(batches):
                assert sink.write(bytes(blob_sink.BATCH_BYTES))
                await sink.drain()
            return await sink.finish(lambda digests: None)
        finally:
            sink.discard()


def test_after_a_batch_that_could_not_be_stored_no_other_is(tmp_path):
    store = FullStore(tmp_path, 2)
    with pytest.raises(StorageError, match="no room"):
        asyncio.run(pour(store, 20))
    assert len(store.written) == 3
    assert not list((tmp_path / "incoming").iterdir())


def test_who_is_stopped_leaves_nothing_behind(tmp_path):
    async def stopped():
        task = asyncio.create_task(pour(DiskBlobStore(tmp_path), 10_000))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    DiskBlobStore(tmp_path).prepare()
    asyncio.run(stopped())
    assert not list((tmp_path / "incoming").iterdir())


def test_much_that_was_flushed_on_its_way_is_whole(tmp_path):
    store = FullStore(tmp_path, 1 << 30)
    digests = asyncio.run(pour(store, 100))
    assert store.verify(digests.raw["sha256"]) == 100 * blob_sink.BATCH_BYTES
    with store.open(digests.raw["sha256"]) as blob:
        assert os.fstat(blob.fd).st_blocks * 512 < 101 * blob_sink.BATCH_BYTES  # nothing is reserved any more
