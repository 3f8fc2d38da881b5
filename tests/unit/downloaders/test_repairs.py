"""Repairs of damaged blobs, as a chore beside downloads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.store import BlobCorruptError, blob_key
from distfile_mirror.catalog import damage
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.downloaders import repairs
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.repairs import STORED, Repairs
from distfile_mirror.downloaders.running import Tools
from distfile_mirror.model.damage import Problem
from tests.unit.catalog.files import CONTENT, SHA256, URI, present

pytestmark = pytest.mark.django_db(transaction=True)


class Source:
    """Stores ``content`` when it may, as a fetch would, and says that it has ``sha256``."""

    def __init__(self, store, content=CONTENT, sha256=SHA256):
        self.store, self.content, self.sha256 = store, content, sha256
        self.was_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def __call__(self):
        self.was_asked.set()
        await self.may_answer.wait()
        self.store.store_together({self.sha256: self.content})
        return URI, self.sha256


@asynccontextmanager
async def repairing(store, source):
    """Give the chore, and what calls the catalog."""
    with ThreadPoolExecutor(1) as pool:
        async with CatalogThread() as catalog:
            tools = Tools(
                store=store, upstream=None, catalog=catalog, pool=pool, small_blobs=None, max_bytes=0, unrecorded=None
            )
            yield Repairs(tools, "one", of_images=False, sources=lambda _: iter([source])), catalog.call


async def repair(store, source):
    async with repairing(store, source) as (chore, _call):
        await chore.once()


async def repair_slowly(store, source):
    """Repair from a source that takes several leases; return what another downloader is given meanwhile."""
    source.may_answer.clear()
    given = []
    async with repairing(store, source) as (chore, call):
        task = asyncio.create_task(chore.once())
        await source.was_asked.wait()
        for _ in range(5):
            await asyncio.sleep(repairs.LEASE.total_seconds() / 2)
            given += await call(partial(damage.claim_repairs, of_images=False, limit=4, lease=timedelta(hours=1)))
        source.may_answer.set()
        await task
    return given


@pytest.fixture
def store(tmp_path):
    store = DiskBlobStore(tmp_path / "blobs")
    store.prepare()
    return store


@pytest.fixture
def path(store, tmp_path):
    """The place of a blob that is marked as damaged, and is missing."""
    present()
    damage.record_damage(SHA256, Problem.MISSING, "it is gone", actor="verify")
    path = tmp_path / "blobs" / blob_key(SHA256)
    path.parent.mkdir()
    return path


def test_what_is_missing_is_had_again(store, path):
    asyncio.run(repair(store, Source(store)))
    assert damage.damaged_blobs(1) == []
    assert path.read_bytes() == CONTENT


def test_wrong_bytes_are_set_aside_so_that_the_right_ones_have_their_place(store, path, tmp_path):
    path.write_bytes(CONTENT[::-1])
    asyncio.run(repair(store, Source(store)))
    assert damage.damaged_blobs(1) == []
    assert path.read_bytes() == CONTENT
    (kept,) = (tmp_path / "blobs" / "damaged").iterdir()
    assert kept.read_bytes() == CONTENT[::-1]


def test_wrong_bytes_that_cannot_be_set_aside_are_no_repair(store, path, tmp_path):
    path.write_bytes(CONTENT[::-1])
    (tmp_path / "blobs" / "damaged").write_text("in the way")
    source = Source(store)
    asyncio.run(repair(store, source))
    (row,) = damage.damaged_blobs(1)
    assert "Not repaired: the blob store failed" in row.message
    assert not source.was_asked.is_set()
    with pytest.raises(BlobCorruptError):
        store.verify(SHA256)


def test_right_bytes_that_somebody_put_back_are_a_repair(store, path):
    path.write_bytes(CONTENT)
    source = Source(store)
    asyncio.run(repair(store, source))
    assert damage.damaged_blobs(1) == []
    assert not source.was_asked.is_set()
    assert AuditEvent.objects.get(action="repaired").after["source"] == STORED


def test_one_that_takes_long_is_not_given_to_another(store, path, monkeypatch):
    monkeypatch.setattr(repairs, "LEASE", timedelta(seconds=0.8))
    assert asyncio.run(repair_slowly(store, Source(store))) == []
    assert damage.damaged_blobs(1) == []


def test_one_that_failed_waits_for_longer_than_a_lease(store, path, monkeypatch):
    monkeypatch.setattr(repairs, "LEASE", timedelta(seconds=0.8))
    assert asyncio.run(repair_slowly(store, Source(store, b"other", "0" * 64))) == []
    (row,) = damage.damaged_blobs(1)
    assert row.attempts == 1
    assert row.due_at - row.found_at > timedelta(seconds=50)
    assert "other bytes now" in row.message
