"""Checksums come in several spellings and are held in one."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.checksums import (
    DIGEST_BYTES,
    Checksum,
    ChecksumStrength,
    Hasher,
    parse_checksum,
    parse_checksums,
    strength,
)

ALGORITHMS = st.sampled_from(sorted(DIGEST_BYTES))
SHA = st.sampled_from(["sha256", "sha384", "sha512"])


def digest(algorithm, content):
    return hashlib.new(algorithm, content).digest()


@given(ALGORITHMS, st.binary())
def test_hexadecimal_spellings_mean_the_same(algorithm, content):
    hexadecimal = digest(algorithm, content).hex()
    expected = Checksum(algorithm, hexadecimal)
    assert parse_checksum(str(expected)) == expected
    assert parse_checksum(f"{algorithm.upper()}:{hexadecimal.upper()}") == expected
    assert parse_checksum(f"{algorithm}={hexadecimal}") == expected
    assert parse_checksum(f"  {hexadecimal}  ") == expected


@given(SHA, st.binary(), st.booleans())
def test_subresource_integrity_means_the_same(algorithm, content, padded):
    raw = digest(algorithm, content)
    encoded = base64.b64encode(raw).decode()
    if not padded:
        encoded = encoded.rstrip("=")
    assert parse_checksum(f"{algorithm}-{encoded}") == Checksum(algorithm, raw.hex())
    assert parse_checksum(f"{algorithm}-{encoded}?opt") == Checksum(algorithm, raw.hex())


def test_a_dash_in_the_name_of_an_algorithm_is_no_difference():
    assert parse_checksum("SHA-256:" + "a" * 64) == Checksum("sha256", "a" * 64)


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "is not a checksum"),
        ("sha256:", "has 0 hexadecimal digits"),
        ("sha256:abc", "sha256 has 64"),
        ("crc32:00000000", "unknown algorithm"),
        ("sha3-abcd", "unknown algorithm"),
        ("abc", "has 3 digits"),
        ("sha256-AAAA", "not the base64"),
        ("sha256-" + "A" * 44, "not the base64"),
        ("sha256:" + "g" * 64, "is not a checksum"),
        ("nonsense here", "is not a checksum"),
    ],
)
def test_what_is_no_checksum_is_refused_with_a_reason(text, part_of_message):
    with pytest.raises(ValueError, match=part_of_message):
        parse_checksum(text)


@given(st.text() | st.text("sha2561md5-:=abcdef0+/ "))
def test_nothing_but_value_error_is_raised(text):
    try:
        found = parse_checksums([text])
    except ValueError:
        return
    assert parse_checksums([f"{name}:{value}" for name, value in found.items()]) == found


def test_the_strongest_comes_first_and_doubles_are_one():
    texts = ["md5:" + "a" * 32, "sha512:" + "b" * 128, "b" * 128, "sha1:" + "c" * 40]
    assert list(parse_checksums(texts)) == ["sha512", "sha1", "md5"]


def test_two_that_differ_contradict():
    with pytest.raises(ValueError, match="two different sha1"):
        parse_checksums(["sha1:" + "a" * 40 + " sha1:" + "b" * 40])


def test_strength():
    assert strength({}) is ChecksumStrength.NONE
    assert strength({"md5": "", "sha1": ""}) is ChecksumStrength.WEAK
    assert strength({"md5": "", "sha256": ""}) is ChecksumStrength.STRONG


@given(st.lists(st.binary()), st.sets(ALGORITHMS))
def test_a_hasher_has_every_digest_of_what_passed(pieces, algorithms):
    hasher = Hasher(algorithms)
    for piece in pieces:
        hasher.update(memoryview(piece))
    whole = b"".join(pieces)
    assert hasher.hex_digests() == {name: digest(name, whole).hex() for name in {"sha256", *algorithms}}
