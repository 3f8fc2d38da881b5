"""Declaring: a use is added, what is known is never replaced."""

import threading

import pytest
from django.db import connection

from distfile_mirror.catalog import queue
from distfile_mirror.catalog.models import AuditEvent, File, Project, Use
from distfile_mirror.errors import ConflictError, InvalidInputError, StorageError
from distfile_mirror.model.checksums import strength
from distfile_mirror.model.states import State
from tests.unit.catalog.files import (
    MD5,
    OTHER_SHA256,
    OWNER,
    SHA1,
    SHA256,
    SHA512,
    URI,
    declare,
    failed,
    fetching,
    fresh,
    present,
)

pytestmark = pytest.mark.django_db

FALLBACK = "https://mirror.test/foo-1.2.tar.gz"


def actions(file):
    return list(AuditEvent.objects.filter(subject_id=file.pk).order_by("pk").values_list("action", flat=True))


def test_a_new_file_is_due_at_once_with_its_use_and_its_history():
    declared = declare("HTTPS://Example.org:443/a.tgz#x", checksums=["sha256:" + SHA256], licence="mit", actor="carol")
    file = fresh(declared.file)
    assert declared.created
    assert declared.use_added
    assert (file.uri, file.host, file.state) == ("https://example.org/a.tgz", "example.org", State.PENDING)
    assert file.expected == {"sha256": SHA256}
    assert file.due_at is not None
    use = file.uses.get()
    assert (use.project.name, use.licence, use.declared_by) == ("firmware", "MIT", "carol")
    assert actions(file) == ["declared", "use added"]


def test_the_same_again_changes_nothing():
    first = declare(checksums=["sha256:" + SHA256])
    events = AuditEvent.objects.count()
    again = declare("https://EXAMPLE.org/pool/foo-1.2.tar.gz", checksums=[SHA256])
    assert again.file.pk == first.file.pk
    assert not again.created
    assert not again.use_added
    assert (File.objects.count(), Use.objects.count(), AuditEvent.objects.count()) == (1, 1, events)


@pytest.mark.parametrize("other", [{"project": "toolchain"}, {"reason": "for gdb"}, {"licence": "MIT"}])
def test_another_use_is_added(other):
    declare()
    again = declare(**other)
    assert again.use_added
    assert again.file.uses.count() == 2
    assert actions(again.file) == ["declared", "use added", "use added"]


def test_checksums_and_fallbacks_are_merged():
    declare(checksums=["md5:" + MD5])
    file = declare(checksums=["sha256:" + SHA256], fallback_uris=[FALLBACK, URI]).file
    assert fresh(file).expected == {"sha256": SHA256, "md5": MD5}
    assert fresh(file).fallback_uris == [FALLBACK], "the file itself is no fallback"
    assert "amended" in actions(file)


def test_weak_checksums_are_told_apart():
    assert strength(declare(checksums=["md5:" + MD5, "sha1:" + SHA1]).file.expected) == "weak"


def test_a_contradiction_is_refused_with_both_shown():
    file = declare(checksums=["sha256:" + SHA256]).file
    with pytest.raises(ConflictError) as refused:
        declare(checksums=["sha256:" + OTHER_SHA256], project="toolchain")
    assert SHA256 in str(refused.value)
    assert OTHER_SHA256 in str(refused.value)
    assert "amend" in str(refused.value)
    assert fresh(file).uses.count() == 1, "nothing of a refused declaration stays"
    assert not Project.objects.filter(name="toolchain").exists()


def test_what_is_stored_is_never_contradicted():
    present()
    with pytest.raises(ConflictError, match=f"the stored bytes have sha256:{SHA256}.*never replaced"):
        declare(checksums=["sha256:" + OTHER_SHA256])


def test_a_checksum_of_another_algorithm_is_compared_with_the_stored_bytes():
    file = present()
    declare(checksums=["sha512:" + SHA512])
    assert fresh(file).digests == {"sha512": SHA512, "sha256": SHA256}
    with pytest.raises(ConflictError, match="the stored bytes have sha1"):
        declare(checksums=["sha1:" + "0" * 40])


def test_a_checksum_of_the_bytes_without_their_encoding_may_be_declared_again():
    decoded = {"sha256": OTHER_SHA256}
    file = fetching(checksums=["sha256:" + OTHER_SHA256])
    queue.record(OWNER, [queue.Fetched(file.pk, SHA256, 9, {"sha256": SHA256}, {}, URI, decoded_digests=decoded)])
    assert fresh(file).state == State.PRESENT
    for known in (SHA256, OTHER_SHA256):
        declare(checksums=["sha256:" + known])
        assert fresh(file).expected == decoded
    with pytest.raises(ConflictError, match=f"the stored bytes have sha256:{SHA256}"):
        declare(checksums=["sha256:" + "0" * 64])


def test_stored_bytes_that_cannot_be_read_refuse_the_declaration():
    present()

    def broken(_sha256, _algorithms):
        raise StorageError("the disk is gone")

    with pytest.raises(StorageError):
        declare(checksums=["sha512:" + SHA512], digests_of=broken)


def test_a_failed_file_is_tried_again_when_something_new_is_given():
    file = failed()
    declare(project="toolchain")
    assert fresh(file).state == State.FAILED, "a further use is nothing new for the downloader"
    declare(checksums=["sha256:" + SHA256], fallback_uris=[FALLBACK])
    again = fresh(file)
    assert (again.state, again.message, again.attempts) == (State.PENDING, "", 0)
    assert again.due_at is not None


def test_declaring_leaves_a_download_alone():
    file = fetching()
    declare(checksums=["sha256:" + SHA256])
    assert fresh(file).state == State.FETCHING
    assert fresh(file).lease_owner == file.lease_owner


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"uri": "nonsense"}, {"uri"}),
        ({"project": " "}, {"project"}),
        ({"project": "a\nb"}, {"project"}),
        ({"project": "a" * 201}, {"project"}),
        ({"reason": "\n"}, {"reason"}),
        ({"reason": "a\0b"}, {"reason"}),
        ({"reason": "a" * 4001}, {"reason"}),
        ({"licence": "MTI"}, {"licence"}),
        ({"checksums": ["md5:1"]}, {"checksums"}),
        ({"checksums": ["sha256:" + SHA256, "sha256:" + OTHER_SHA256]}, {"checksums"}),
        ({"fallback_uris": [FALLBACK]}, {"fallback_uris"}),
        ({"fallback_uris": ["x"], "checksums": [SHA256]}, {"fallback_uris"}),
        ({"fallback_uris": [FALLBACK] * 21, "checksums": [SHA256]}, {"fallback_uris"}),
        (
            {"uri": "", "project": "", "reason": "", "licence": "(", "checksums": ["x"]},
            {"uri", "project", "reason", "licence", "checksums"},
        ),
    ],
)
def test_every_wrong_field_is_named(given, fields):
    with pytest.raises(InvalidInputError) as refused:
        declare(**given)
    assert set(refused.value.problems) == fields
    assert not File.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_row():
    results, faults, start = [], [], threading.Barrier(8)

    def run(number):
        try:
            start.wait()
            results.append(declare(project=f"project {number % 4}"))
        except Exception as error:
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert File.objects.count() == 1
    assert sum(result.created for result in results) == 1
    assert (Project.objects.count(), Use.objects.count()) == (4, 4)
    assert sum(result.use_added for result in results) == 4
