"""Repairs of damaged blobs, as a chore beside downloads."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from distfile_mirror.catalog import damage
from distfile_mirror.downloaders import repairs
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.repairs import Repairs
from distfile_mirror.downloaders.running import Tools
from distfile_mirror.model.damage import Problem
from tests.unit.catalog.files import SHA256, URI, present

pytestmark = pytest.mark.django_db(transaction=True)


class Source:
    """Gives the bytes when it is told to."""

    def __init__(self, sha256):
        self.sha256 = sha256
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self):
        self.was_asked.set()
        await self.may_answer.wait()
        return URI, self.sha256


async def repair_slowly(sha256):
    """Repair from a source that takes several leases; return what another downloader is given meanwhile."""
    source, given = Source(sha256), []
    async with CatalogThread() as catalog:
        tools = Tools(store=None, upstream=None, catalog=catalog, pool=None, small_blobs=None, max_bytes=0)
        chore = asyncio.create_task(Repairs(tools, "one", of_images=False, sources=lambda _: iter([source])).once())
        await source.was_asked.wait()
        for _ in range(5):
            await asyncio.sleep(repairs.LEASE.total_seconds() / 2)
            given += await catalog.call(
                partial(damage.claim_repairs, of_images=False, limit=4, lease=timedelta(hours=1))
            )
        source.may_answer.set()
        await chore
    return given


@pytest.fixture
def damaged(monkeypatch):
    monkeypatch.setattr(repairs, "LEASE", timedelta(seconds=0.8))
    present()
    damage.record_damage(SHA256, Problem.MISSING, "it is gone", actor="verify")


def test_one_that_takes_long_is_not_given_to_another(damaged):
    assert asyncio.run(repair_slowly(SHA256)) == []
    assert damage.damaged_blobs(1) == []


def test_one_that_failed_waits_for_longer_than_a_lease(damaged):
    assert asyncio.run(repair_slowly("0" * 64)) == []
    (row,) = damage.damaged_blobs(1)
    assert row.attempts == 1
    assert row.due_at - row.found_at > timedelta(seconds=50)
    assert "other bytes now" in row.message
