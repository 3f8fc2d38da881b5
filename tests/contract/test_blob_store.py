"""What every blob store keeps to. A store is added by one more parameter of ``place``."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError
from distfile_mirror.errors import StorageError, StorageFullError
from tests import azurite
from tests.contract.places import DiskPlace, EnvironmentPlace, S3Place
from tests.relay import Relay

OPEN_BUCKET = "open"
REPOSITORY = Path(__file__).parents[2]
DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@pytest.fixture(params=["disk", "s3", "gs", *(["az"] if azurite.is_installed() else [])])
def place(request, tmp_path):
    if request.param == "disk":
        return DiskPlace(tmp_path)
    if request.param == "az":
        request.getfixturevalue("azure")
        return EnvironmentPlace(tmp_path, "az", azurite.CONTAINER)
    if request.param == "gs":
        return EnvironmentPlace(tmp_path, "gs", request.getfixturevalue("google"))
    gateway = request.getfixturevalue("ceph_gateway")
    return S3Place(tmp_path, gateway.endpoint, gateway.access_key, gateway.secret_key)


@pytest.fixture
def azure(monkeypatch, azurite_server):
    for name, value in azurite_server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def azurite_server():
    with azurite.Azurite() as server:
        yield server


@pytest.fixture
def google(monkeypatch, google_gateway):
    """A bucket as Google's XML API has it, which Ceph's gateway speaks as well, but for its tokens."""
    account = {"gcs_base_url": google_gateway, "disable_oauth": True, "client_email": "", "private_key": ""}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps({**account, "private_key_id": ""}))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return OPEN_BUCKET


@pytest.fixture(scope="module")
def google_gateway(_ceph_gateway):
    _ceph_gateway.open_to_all(_ceph_gateway.make_bucket(OPEN_BUCKET))
    with Relay(_ceph_gateway.port, hidden="authorization") as relay:
        yield relay.endpoint


@pytest.fixture
def store(place):
    return place.store


@pytest.fixture
def incoming(place):
    return place.spool


def put(store, data=DATA):
    writer = store.create()
    writer.write(data)
    digest = hashlib.sha256(data).hexdigest()
    writer.commit(digest)
    return digest


def read(store, sha256):
    with store.open(sha256) as blob:
        return os.pread(blob.fd, blob.size + 1, 0)


def test_committed_bytes_are_there(store, incoming):
    writer = store.create()
    writer.write(DATA[:1000])
    writer.write(memoryview(DATA)[1000:])
    assert not store.contains(SHA256)
    writer.commit(SHA256)
    writer.discard()  # nothing any more
    assert store.contains(SHA256)
    assert read(store, SHA256) == DATA
    assert not list(incoming.iterdir())


def test_empty_blob(store):
    assert read(store, put(store, b"")) == b""
    assert store.contains(EMPTY_SHA256)


def test_prepare_twice(store):
    put(store)
    store.prepare()
    assert read(store, SHA256) == DATA


def test_discarded_bytes_are_gone(store, incoming):
    writer = store.create()
    writer.write(DATA)
    writer.discard()
    writer.discard()
    assert not store.contains(SHA256)
    assert not list(incoming.iterdir())
    with pytest.raises(BlobMissingError):
        store.open(SHA256)


def test_restart_begins_anew(store):
    writer = store.create()
    writer.write(b"of another version" * 100_000)
    writer.restart()
    writer.write(DATA)
    writer.commit(SHA256)
    assert read(store, SHA256) == DATA
    store.verify(SHA256)


def test_a_blob_on_disk_is_read_only(tmp_path):
    place = DiskPlace(tmp_path)
    put(place.store)
    (path,) = list(tmp_path.rglob(SHA256))
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_blobs_are_found_under_their_digests(place):
    other = put(place.store, b"other")
    put(place.store)
    assert place.keys() == {f"sha256/{sha256[:2]}/{sha256}" for sha256 in (SHA256, other)}


def test_the_same_bytes_are_kept_once(place):
    put(place.store)
    version = place.version(SHA256)
    time.sleep(1.1)  # S3 tells times in seconds
    put(place.store)
    place.store.store_together({SHA256: DATA})
    assert place.version(SHA256) == version
    assert read(place.store, SHA256) == DATA


@pytest.mark.parametrize("count", [0, 1, 3, 4, 40])
def test_small_blobs_stored_together(store, incoming, count):
    contents = {hashlib.sha256(data).hexdigest(): data for data in (b"%d" % number for number in range(count))}
    store.store_together(contents)
    store.store_together(contents)
    assert {sha256: read(store, sha256) for sha256 in contents} == contents
    for sha256 in contents:
        store.verify(sha256)
    assert list(incoming.iterdir()) == []


def test_what_is_stored_together_on_disk_is_read_only_too(tmp_path):
    DiskPlace(tmp_path).store.store_together(
        {hashlib.sha256(data).hexdigest(): data for data in (b"a", b"b", b"c", b"d", b"e")}
    )
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "blobs" / "sha256").glob("*/*")}
    assert modes == {0o444}


def test_an_open_blob_stays_readable(place):
    put(place.store)
    with place.store.open(SHA256) as blob:
        place.remove(SHA256)
        assert os.pread(blob.fd, blob.size, 0) == DATA


def test_digests(store):
    put(store)
    found = store.digests(SHA256, ["sha512", "md5"])
    assert found == {
        "sha512": hashlib.sha512(DATA).hexdigest(),
        "sha256": SHA256,
        "md5": hashlib.md5(DATA).hexdigest(),
    }


def test_corruption_is_found(place):
    put(place.store)
    place.store.verify(SHA256)
    place.overwrite(SHA256, DATA[:5] + b"!" + DATA[6:])
    with pytest.raises(BlobCorruptError, match=SHA256):
        place.store.verify(SHA256)


def test_missing(store):
    with pytest.raises(BlobMissingError, match=SHA256):
        store.verify(SHA256)
    with pytest.raises(BlobMissingError, match=SHA256):
        store.open(SHA256)
    with pytest.raises(BlobMissingError, match=SHA256):
        store.digests(SHA256, ["md5"])
    store.check()


@pytest.mark.parametrize("wrong", ["", "../../etc/passwd", SHA256.upper(), SHA256[:-1], SHA256 + "\n"])
def test_only_digests_are_names(store, wrong):
    with pytest.raises(ValueError):
        store.open(wrong)


def test_remove_abandoned_keeps_what_is_being_written(store):
    writer = store.create()
    writer.write(DATA)
    assert store.remove_abandoned() == 0
    writer.commit(SHA256)
    assert read(store, SHA256) == DATA


def test_remove_abandoned_removes_what_a_killed_process_left(place):
    store, incoming = place.store, place.spool
    with subprocess.Popen(
        [sys.executable, "-m", "tests.contract.places", "write", json.dumps(place.arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            assert process.stdout.readline() == "written\n"
            assert store.remove_abandoned() == 0
        finally:
            process.kill()
        process.wait()
    assert store.remove_abandoned() == 1
    assert not list(incoming.iterdir())


def test_a_full_disk_loses_nothing_of_what_is_stored_together(small_disk):
    store = DiskBlobStore(small_disk / "blobs")
    store.prepare()
    kept = put(store, b"kept")
    many = (number.to_bytes(2) * 25_000 for number in range(30))
    contents = {hashlib.sha256(data).hexdigest(): data for data in many}
    with pytest.raises(StorageFullError, match="full"):
        store.store_together(contents)
    assert read(store, kept) == b"kept"
    assert not list((small_disk / "blobs" / "incoming").iterdir())
    for sha256 in contents:
        if store.contains(sha256):
            store.verify(sha256)


def test_a_full_disk_loses_nothing(small_disk):
    store = DiskBlobStore(small_disk / "blobs")
    store.prepare()
    put(store)
    writer = store.create()
    with pytest.raises(StorageFullError, match="free some space") as caught:
        writer.write(bytes(2_000_000))
    assert caught.value.__cause__.errno == errno.ENOSPC
    writer.discard()
    assert read(store, SHA256) == DATA
    store.verify(SHA256)
    other = put(store, DATA[::-1])  # there is room again
    assert read(store, other) == DATA[::-1]


def test_what_is_set_aside_is_missing_and_can_be_stored_anew(place, store):
    put(store)
    place.overwrite(SHA256, b"rot" * 100)
    store.set_aside(SHA256)
    with pytest.raises(BlobMissingError):
        store.open(SHA256)
    with pytest.raises(StorageError):
        store.set_aside(SHA256)
    put(store)
    assert read(store, SHA256) == DATA


def test_sizes_and_the_pace_of_reading(store):
    put(store)
    pieces = []
    assert store.verify(SHA256, pieces.append) == store.size(SHA256) == len(DATA)
    assert sum(pieces) == len(DATA)
    with pytest.raises(BlobMissingError):
        store.size(EMPTY_SHA256)
