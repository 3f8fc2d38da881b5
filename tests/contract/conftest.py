"""What suites of stores share."""

import os
import subprocess

import pytest

from distfile_mirror.blobs.read_through_cache import ReadThroughCache
from tests.contract.cache_readers import GENEROUS
from tests.contract.places import S3Place
from tests.relay import Relay
from tests.requirements import skip


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        skip("mounting a small file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if done.returncode:
        skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def relay(ceph_gateway):
    with Relay(ceph_gateway.port) as relay:
        yield relay


@pytest.fixture
def place(tmp_path, ceph_gateway, relay):
    return S3Place(tmp_path, relay.endpoint, ceph_gateway.access_key, ceph_gateway.secret_key)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cache(place, root):
    with ReadThroughCache(place.store, root, limit=GENEROUS) as cache:
        yield cache
