"""What a dead downloader of this machine left, on every database: recorded if its bytes are stored, else due again."""

import asyncio
import json
import os
from datetime import timedelta

import pytest

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog import image_queue, queue
from distfile_mirror.catalog.declare import FileDeclaration, declare_file
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.downloaders.catalog_thread import CatalogThread
from distfile_mirror.downloaders.owners import Owner
from distfile_mirror.downloaders.take_over import take_over
from distfile_mirror.downloaders.unrecorded import Unrecorded
from distfile_mirror.model.checksums import Hasher
from tests.unit.catalog import images

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(minutes=30)


@pytest.fixture
def store(tmp_path):
    found = DiskBlobStore(tmp_path / "blobs")
    found.prepare()
    return found


def stored(store, content):
    hasher = Hasher(())
    hasher.update(content)
    sha256 = hasher.hex_digests()["sha256"]
    store.store_together({sha256: content})
    return sha256


def claimed_files(owner, *names):
    for name in names:
        given = FileDeclaration(uri=f"https://up.test/{name}", project="p", reason="r")
        declare_file(given, actor="tester", approved=True, digests_of=None)
    return [claim.row_id for claim in queue.claim(owner, limit=10, lease=LEASE)]


def fetched(row_id, sha256):
    return queue.Fetched(row_id, sha256, 5, {"sha256": sha256}, {"ETag": '"1"'}, "https://up.test/there")


def take_over_now(folder, store, kind=queue):
    async def run():
        async with CatalogThread() as catalog:
            await take_over(folder, queue=kind, catalog=catalog, store=store, stop=asyncio.Event())

    asyncio.run(run())


def test_what_is_stored_is_recorded_and_the_rest_is_due(tmp_path, store):
    folder = tmp_path / "owners"
    with Owner(folder) as owner:
        whole, lost, cut = claimed_files(owner.name, "whole", "lost", "cut")
        notes = Unrecorded(owner.fd)
        notes.add(fetched(whole, stored(store, b"whole")))
        notes.add(fetched(lost, "ab" * 32))  # in another store, perhaps
        os.write(owner.fd, json.dumps({"row_id": cut, "of": "another release"}).encode() + b"\n")
    take_over_now(folder, store)
    row = File.objects.get(pk=whole)
    assert (row.state, row.headers, row.final_uri) == ("present", {"ETag": '"1"'}, "https://up.test/there")
    assert not list(folder.iterdir())
    assert sorted(claim.row_id for claim in queue.claim("next", limit=10, lease=LEASE)) == [lost, cut]


def test_what_was_recorded_already_stays(tmp_path, store):
    folder = tmp_path / "owners"
    with Owner(folder) as owner:
        (row_id,) = claimed_files(owner.name, "a")
        outcome = fetched(row_id, stored(store, b"whole"))
        Unrecorded(owner.fd).add(outcome)
        queue.record(owner.name, [outcome])
    File.objects.filter(pk=row_id).update(headers={"ETag": '"2"'})
    take_over_now(folder, store)
    assert File.objects.get(pk=row_id).headers == {"ETag": '"2"'}


@pytest.mark.parametrize("missing", [0, 1])
def test_an_image_is_recorded_if_all_its_blobs_are_stored(tmp_path, store, missing):
    folder = tmp_path / "owners"
    row_id = images.declare(images.AMD64).image.pk
    with Owner(folder) as owner:
        image_queue.claim(owner.name, limit=1, lease=LEASE)
        Unrecorded(owner.fd).add(images.arrived(row_id, images.AMD64))
    for content in [b"{}", b"layer one", b"layer two"][missing:]:
        stored(store, content)
    take_over_now(folder, store, image_queue)
    assert Image.objects.get(pk=row_id).state == ("fetching" if missing else "present")
    assert len(image_queue.claim("next", limit=10, lease=LEASE)) == missing
