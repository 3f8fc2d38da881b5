import gzip
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.downloaders.decoding import DecodedDigests

LIMIT = 10_000_000


def decoded(coding, data, limit=LIMIT, piece=1000):
    digests = DecodedDigests(coding, ["md5"], limit)
    for start in range(0, len(data), piece):
        digests.update(data[start : start + piece])
    return digests.hex_digests()


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
@pytest.mark.parametrize("data", [b"", b"x" * 3_000_000, bytes(range(256)) * 50], ids=["empty", "long", "mixed"])
def test_codings(coding, pack, data):
    assert decoded(coding, pack(data))["sha256"] == hashlib.sha256(data).hexdigest()


def test_members_and_limits():
    data = gzip.compress(b"a" * 5000) + gzip.compress(b"b")
    assert decoded("gzip", data, piece=7)["sha256"] == hashlib.sha256(b"a" * 5000 + b"b").hexdigest()
    assert decoded("gzip", data, limit=5000) == {}
    assert decoded("gzip", data[:-1]) == {}


@given(st.binary())
def test_garbage_decodes_to_nothing_or_something(data):
    decoded("gzip", data)
    decoded("deflate", data)
