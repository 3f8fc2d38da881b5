import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.digests import HEX_DIGITS, digest_of, parse_digest


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "not a digest"),
        ("sha256", "not a digest"),
        ("sha256:", "not a digest"),
        ("sha256:abc", "64 lower-case"),
        ("sha512:" + "a" * 64, "128 lower-case"),
        ("sha256:" + "A" * 64, "lower-case"),
        ("sha256:" + "g" * 64, "lower-case"),
        ("md5:" + "a" * 32, "'md5'"),
        ("sha256:" + "a" * 64 + "\n", "not a digest"),
        (" sha256:" + "a" * 64, "not a digest"),
        ("sha256:" + "\N{ARABIC-INDIC DIGIT ONE}" * 64, "not a digest"),
    ],
)
def test_what_is_no_digest_is_refused_with_a_reason(text, part_of_message):
    with pytest.raises(ValueError, match=part_of_message):
        parse_digest(text)


@given(st.binary(), st.sampled_from(sorted(HEX_DIGITS)))
def test_what_is_computed_is_read_back(content, algorithm):
    digest = digest_of(content, algorithm)
    assert digest.hex == hashlib.new(algorithm, content).hexdigest()
    assert parse_digest(str(digest)) == digest


@given(st.text() | st.text("sha256512:abcf0+.").map("sha256:".__add__))
def test_reading_raises_nothing_but_value_error(text):
    try:
        digest = parse_digest(text)
    except ValueError:
        return
    assert str(digest) == text
