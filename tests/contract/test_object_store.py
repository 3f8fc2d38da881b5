"""An object store over HTTP, and everything that can be wrong with it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from distfile_mirror.blobs.locations import BlobsLocation
from distfile_mirror.blobs.object_connection import CREDENTIALS_SECONDS, connect
from distfile_mirror.blobs.object_store import PART_BYTES, ObjectBlobStore
from distfile_mirror.blobs.store import BlobCorruptError, BlobMissingError, blob_key
from distfile_mirror.errors import StorageError
from tests.ceph_gateway import BUCKET, REGION
from tests.contract.places import S3Place, secret_file

REPOSITORY = Path(__file__).parents[2]
DATA = b"some bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def place(tmp_path, ceph_gateway):
    return S3Place(tmp_path, ceph_gateway.endpoint, ceph_gateway.access_key, ceph_gateway.secret_key)


@pytest.fixture
def make_store(place):
    """Make a store on the place's bucket with other settings."""

    def make(bucket=BUCKET, **changes):
        location = BlobsLocation("s3", bucket, "p")
        store = ObjectBlobStore(
            connect(location, replace(place.settings, **changes)), name=str(location), folder=place.spool
        )
        store.prepare()
        return store

    return make


def put(store, data=DATA):
    writer = store.create()
    try:
        writer.write(data)
        digest = hashlib.sha256(data).hexdigest()
        writer.commit(digest)
    finally:
        writer.discard()
    return digest


EVERY_VERB = {
    "open": lambda store: store.open(SHA256),
    "check": lambda store: store.check(),
    "put": put,
    "together": lambda store: store.store_together({SHA256: DATA}),
    "digests": lambda store: store.digests(SHA256, ()),
    "contains": lambda store: store.contains(SHA256),
}


def refusal(store, verb):
    """Return the error of ``verb``, and how many seconds it took."""
    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        EVERY_VERB[verb](store)
    assert "\n" not in str(caught.value)
    assert not list(store._spool.iterdir())
    return str(caught.value), time.monotonic() - begun


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_wrong_credentials(make_store, tmp_path, ceph_gateway, verb):
    wrong_secret = make_store(secret_access_key_file=secret_file(tmp_path / "wrong", "wrong"))
    wrong_key = make_store(access_key_id_file=secret_file(tmp_path / "nobody", "NOBODY"))
    for store in (wrong_secret, wrong_key):
        text, _seconds = refusal(store, verb)
        assert f"s3://contract/p at {ceph_gateway.endpoint} refuses the credentials" in text
    if verb in {"open", "check"}:  # HEAD has no body to say it
        assert "(InvalidAccessKeyId)" in text


@pytest.mark.parametrize("verb", [verb for verb in EVERY_VERB if verb != "contains"])
def test_a_bucket_that_is_not_there(make_store, verb):
    text, _seconds = refusal(make_store("no-such-bucket"), verb)
    assert text == "the blob store failed: s3://no-such-bucket/p does not exist: create the bucket"


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_nobody_listens(make_store, verb):
    text, seconds = refusal(make_store(endpoint="http://127.0.0.1:1"), verb)
    assert text.endswith("s3://contract/p at http://127.0.0.1:1 cannot be reached: Connection refused")
    assert seconds < 10


def test_a_host_that_is_not_there(make_store):
    text, seconds = refusal(make_store(endpoint="http://s3.invalid"), "check")
    assert "cannot be reached: failed to lookup address information" in text
    assert seconds < 10


def test_a_store_that_went_away_and_came_back(place, ceph_gateway):
    put(place.store)
    ceph_gateway.stop()
    for verb in EVERY_VERB:
        text, seconds = refusal(place.store, verb)
        assert "cannot be reached: Connection refused" in text
        assert seconds < 10
    ceph_gateway.start()
    place.store.check()
    with place.store.open(SHA256) as blob:
        assert os.pread(blob.fd, 100, 0) == DATA


def test_who_may_not_delete_sets_aside_all_the_same(tmp_path, ceph_gateway, relay):
    place = S3Place(tmp_path, relay.endpoint, ceph_gateway.access_key, ceph_gateway.secret_key)
    put(place.store)
    place.overwrite(SHA256, b"x" * len(DATA))
    relay.forbidden |= {"DELETE", "POST"}
    place.store.set_aside(SHA256)
    with pytest.raises(BlobCorruptError):
        place.store.verify(SHA256)
    put(place.store)
    assert place.store.verify(SHA256) == len(DATA)
    assert relay.asked("POST", "?delete") or relay.asked("DELETE", SHA256)  # which of them is the library's affair
    assert relay.asked("PUT", f"damaged/{SHA256}")


def test_a_store_that_hangs(place, ceph_gateway):
    put(place.store)
    ceph_gateway.pause()
    for verb in EVERY_VERB:
        text, seconds = refusal(place.store, verb)
        assert "cannot be reached: no answer in time" in text
        assert seconds < 11
    ceph_gateway.resume()
    place.store.verify(SHA256)


def test_what_is_there_is_not_uploaded_again(place, ceph_gateway):
    for _ in range(3):
        put(place.store)
        place.store.store_together({SHA256: DATA})
    methods = [method for method, path, _status in ceph_gateway.requests(place.arguments["prefix"])]
    assert methods.count("PUT") == 1


def test_what_has_a_wrong_size_is_replaced(place):
    place.overwrite(SHA256, b"half")
    with pytest.raises(BlobCorruptError):
        place.store.open(SHA256)
    put(place.store)
    place.store.verify(SHA256)


def test_a_large_blob_goes_up_in_parts(place, ceph_gateway):
    data = os.urandom(8_500_000) * 8
    digest = put(place.store, data)
    place.store.verify(digest)
    assert place.store.size(digest) == len(data)
    parts = [path for method, path, _ in ceph_gateway.requests(digest) if method == "PUT" and "partNumber" in path]
    assert len(parts) == -(-len(data) // PART_BYTES)
    put(place.store, data)
    assert [path for method, path, _ in ceph_gateway.requests(digest) if "partNumber" in path] == parts


def test_reading_from_the_middle(place):
    put(place.store)
    size, chunks = place.store.read(SHA256, 5)
    assert (size, b"".join(chunks)) == (len(DATA), DATA[5:])


def test_a_writer_that_is_killed_in_the_middle_of_an_upload(place, ceph_gateway, tmp_path):
    content = tmp_path / "large"
    content.write_bytes(os.urandom(40_000_000) * 5)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    command = [sys.executable, "-m", "tests.contract.places", "commit", json.dumps(place.arguments), content]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout.readline() == "written\n"
            until = time.monotonic() + 20
            while not any("partNumber" in path for _, path, _ in ceph_gateway.requests(digest)):
                assert time.monotonic() < until
        finally:
            process.kill()
        assert process.stdout.read() == ""  # it had not come to the end
    assert not place.store.contains(digest)
    with pytest.raises(BlobMissingError):
        place.store.open(digest)
    assert place.store.remove_abandoned() == 1  # by storing what it had whole
    place.store.verify(digest)
    assert not list(place.spool.iterdir())


def test_what_only_says_that_it_is_whole_is_not_stored(place):
    (place.spool / f"{SHA256}-0123456789abcdef-0").write_bytes(DATA[:-1])
    assert place.store.remove_abandoned() == 1
    assert not place.store.contains(SHA256)
    assert not list(place.spool.iterdir())


VERIFY = """
import sys
from pathlib import Path
from distfile_mirror.blobs.locations import parse_blobs_url
from distfile_mirror.blobs.object_connection import S3Settings, connect
from distfile_mirror.blobs.object_store import ObjectBlobStore
connections = connect(parse_blobs_url(sys.argv[1]), S3Settings())
ObjectBlobStore(connections, name="s3", folder=Path(sys.argv[2])).verify(sys.argv[3])
"""


def verify_in_environment(place, more):
    """Verify the blob in a process without any settings but those of the environment."""
    url = f"s3://{BUCKET}/{place.arguments['prefix']}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": place.arguments["access_key"],
        "AWS_SECRET_ACCESS_KEY": place.arguments["secret_key"],
        "AWS_REGION": REGION,
        **more,
    }
    command = [sys.executable, "-c", VERIFY, url, place.spool, SHA256]
    return subprocess.run(command, env=environment, check=False, timeout=60, capture_output=True, text=True)


def test_credentials_from_the_environment(place):
    put(place.store)
    done = verify_in_environment(place, {"AWS_ENDPOINT_URL": place.settings.endpoint, "AWS_ALLOW_HTTP": "true"})
    assert done.returncode == 0, done.stderr


def test_credentials_that_are_rotated(place, tmp_path):
    put(place.store)
    right = (tmp_path / "secret").read_text()
    (tmp_path / "secret").write_text("not any more")
    time.sleep(CREDENTIALS_SECONDS + 1)
    text, _seconds = refusal(place.store, "check")
    assert f"there are no credentials for {place.store._name}: {tmp_path}/secret must hold one word" in text
    (tmp_path / "secret").write_text(right)
    place.store.check()


def test_plain_http_must_be_allowed(place):
    done = verify_in_environment(place, {"AWS_ENDPOINT_URL": place.settings.endpoint})
    assert "must be allowed: name it in s3_endpoint, or set AWS_ALLOW_HTTP" in done.stderr


def test_the_settings_of_hosts_with_the_bucket_in_their_name(make_store):
    text, _seconds = refusal(make_store(endpoint="http://localhost:1", path_style=False), "check")
    assert re.search(r"at http://contract\.localhost:1 cannot be reached", text)


def test_keys_are_those_of_a_folder(place):
    put(place.store)
    assert place.keys() == {blob_key(SHA256)}
