"""What the queue of images keeps to on every database: nothing done twice, lost or half there."""

import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from distfile_mirror.catalog import image_queue as queue
from distfile_mirror.catalog.image_facts import FetchedImage, FoundBlob, ImageClaim
from distfile_mirror.catalog.leases import Failed, Progress, Released
from distfile_mirror.catalog.models import AuditEvent, Image, ImageManifest, Manifest, ManifestBlob
from tests.databases import current_url
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    INDEX,
    amd64_child,
    arrived,
    declare,
    digest_of,
    fetched_manifest,
    sha256,
)

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(seconds=30)

CLAIM_ALL = """
import sys
from datetime import timedelta
from distfile_mirror.catalog import database
database.configure(sys.argv[1])
from distfile_mirror.catalog import image_queue as queue
sys.stdin.readline()
while claims := queue.claim(sys.argv[2], limit=3, lease=timedelta(seconds=60)):
    print(*[claim.row_id for claim in claims], flush=True)
"""


def declare_many(count=1, **given):
    return [declare(repository=f"team/tool{number}", **given).image.pk for number in range(count)]


def claim(owner="one", *, limit=10, lease=LEASE, excluded_hosts=()):
    return [row.row_id for row in queue.claim(owner, limit=limit, lease=lease, excluded_hosts=excluded_hosts)]


def row(row_id):
    return Image.objects.get(pk=row_id)


def test_a_claim_tells_all_that_a_downloader_needs():
    row_id = declare(INDEX, platforms=["linux/arm64", "linux/amd64"], with_referrers=True).image.pk
    (claimed,) = queue.claim("one", limit=1, lease=LEASE)
    assert claimed == ImageClaim(
        row_id, "registry.test", "team/tool", digest_of(INDEX), ["linux/arm64", "linux/amd64"], True, 0
    )


def test_claims_the_longest_due_first_and_none_twice():
    ids = declare_many(5)
    assert claim(limit=2) == ids[:2]
    assert claim("two") == ids[2:]
    assert claim("three") == []
    assert row(ids[0]).state == "fetching"


def test_excluded_registries():
    declare_many(2, registry="a.test")
    there = declare_many(1, registry="b.test")
    assert claim(excluded_hosts=["a.test"]) == there


def test_several_processes_claim_each_row_once():
    ids = declare_many(60)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, current_url(), f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(int(word) for output in outputs for word in output.split()) == ids


def test_a_lost_lease_records_nothing():
    (row_id,) = declare_many()
    assert claim(lease=timedelta(seconds=0.2)) == [row_id]
    assert claim("two") == []
    time.sleep(0.25)
    assert claim("two") == [row_id]
    queue.record("one", [arrived(row_id)])  # too late
    assert row(row_id).state == "fetching"
    assert not Manifest.objects.exists()
    queue.record("two", [arrived(row_id)])
    assert row(row_id).state == "present"


def test_report_renews_the_lease():
    (row_id,) = declare_many()
    claim(lease=timedelta(seconds=0.2))
    assert queue.report("one", {row_id: Progress(7, 9)}, lease=LEASE) == set()
    assert queue.report("two", {row_id: Progress(8, 9)}, lease=LEASE) == {row_id}  # not its row
    time.sleep(0.25)
    assert claim("two") == []
    assert (row(row_id).received_bytes, row(row_id).total_bytes) == (7, 9)


def test_release_of_a_dead_owner():
    ids = declare_many(3)
    claim(limit=2)
    assert queue.release_owner("one") == 2
    assert sorted(claim("two")) == ids
    assert queue.release_owner("one") == 0


def test_outcomes_are_recorded_together():
    present, failed, later, released, paused = declare_many(5)
    claim()
    wait = timedelta(seconds=100)
    queue.record(
        "one",
        [
            arrived(present),
            Failed(failed, "never", None),
            Failed(later, "not now", wait),
            Released(released),
            Released(paused, "the store is full", wait),
        ],
    )
    stored = row(present)
    assert (stored.state, stored.due_at, stored.media_type) == ("present", None, arrived(present).media_type)
    assert stored.size == stored.received_bytes == stored.total_bytes == arrived(present).size
    assert stored.fetched_at is not None
    assert (row(failed).state, row(failed).message, row(failed).due_at, row(failed).attempts) == (
        "failed",
        "never",
        None,
        1,
    )
    assert (row(later).state, row(later).attempts) == ("pending", 1)
    assert 90 < (row(later).due_at - timezone.now()).total_seconds() <= 100
    assert (row(released).state, row(released).attempts) == ("pending", 0)
    assert (row(paused).state, row(paused).message, row(paused).attempts) == ("pending", "the store is full", 0)
    assert claim("two") == [released]
    events = AuditEvent.objects.filter(actor="one", subject_kind="image")
    assert sorted(events.values_list("action", flat=True)) == ["failed", "failed", "fetched"]
    assert set(events.values_list("subject", flat=True)) == {str(row(key)) for key in (present, failed, later)}


def test_manifests_are_kept_byte_for_byte_with_their_blobs_and_roles():
    row_id = declare(INDEX).image.pk
    claim()
    queue.record("one", [arrived(row_id, INDEX, amd64_child())])
    parts = {part.role: part for part in row(row_id).parts.select_related("manifest")}
    assert bytes(parts["image"].manifest.content) == INDEX
    assert bytes(parts["child"].manifest.content) == AMD64
    assert parts["child"].platform == "linux/amd64"
    assert parts["attestation"].manifest.subject == digest_of(AMD64)
    blobs = ManifestBlob.objects.filter(manifest=parts["child"].manifest)
    assert sorted(blobs.values_list("role", "sha256")) == sorted(
        [("config", sha256(b"{}")), ("layer", sha256(b"layer one")), ("layer", sha256(b"layer two"))]
    ), "a layer that is there twice is needed once"


def test_images_of_a_repository_share_manifests():
    child, index = declare(AMD64).image.pk, declare(INDEX).image.pk
    claim()
    queue.record("one", [arrived(child)])
    changed = Manifest.objects.get()
    queue.record("one", [arrived(index, INDEX, amd64_child())])
    assert Manifest.objects.get(digest=digest_of(AMD64)).pk == changed.pk
    assert ImageManifest.objects.filter(manifest=changed).count() == 2


def test_a_record_that_cannot_be_written_leaves_nothing():
    (row_id,) = declare_many()
    claim()
    broken = arrived(row_id)
    # The manifests go first; without a size the image itself is refused.
    broken = FetchedImage(row_id, broken.media_type, None, [*broken.manifests, fetched_manifest(ARM64)])
    with pytest.raises(IntegrityError):
        queue.record("one", [broken])
    assert row(row_id).state == "fetching"
    assert not Manifest.objects.exists()
    assert not ManifestBlob.objects.exists()


def test_recording_twice_changes_nothing():
    (row_id,) = declare_many()
    claim()
    queue.record("one", [arrived(row_id)])
    queue.record("one", [Failed(row_id, "no", None)])
    assert row(row_id).state == "present"


@pytest.mark.parametrize("further", [{"platforms": ["linux/arm64"]}, {"with_referrers": True}])
def test_more_that_was_wanted_meanwhile_is_fetched_next(further):
    came, failed, paused = (declare(INDEX, repository=name).image.pk for name in ("came", "failed", "paused"))
    claim()
    for name in ("came", "failed", "paused"):
        declare(INDEX, repository=name, **further)
    wait = timedelta(seconds=100)
    outcomes = [arrived(came, INDEX, amd64_child()), Failed(failed, "no such platform", None)]
    queue.record("one", [*outcomes, Failed(paused, "not now", wait)])
    assert {row(key).state for key in (came, failed, paused)} == {"pending"}
    assert row(came).parts.count() == 3
    claimed = queue.claim("two", limit=9, lease=LEASE)
    assert {each.row_id for each in claimed} == {came, failed}, "a pause is kept to"
    assert {each.with_referrers for each in claimed} == {further.get("with_referrers", False)}
    queue.record("two", [arrived(came, INDEX, amd64_child()), Failed(failed, "no such platform", None)])
    assert (row(came).state, row(failed).state) == ("present", "failed")


def test_blobs_are_known_by_their_digests():
    assert queue.known_blob(digest_of(b"layer one")) is None
    (row_id,) = declare_many()
    claim()
    queue.record("one", [arrived(row_id)])
    assert queue.known_blob(digest_of(b"layer one")) == FoundBlob(sha256(b"layer one"), 9)
    sha512 = "sha512:" + "0" * 128
    for _again in range(2):
        queue.remember_blob(sha512, sha256(b"x"), 1)
    assert queue.known_blob(sha512) == FoundBlob(sha256(b"x"), 1)
