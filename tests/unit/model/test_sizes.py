"""Sizes as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.sizes import size_in_words


@pytest.mark.parametrize(
    ("count", "written"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1_023_700, "0.976 MiB"), (3 << 20, "3 MiB")],
)
def test_known_sizes(count, written):
    assert size_in_words(count) == written


@given(st.integers(0, 900 << 50))
def test_there_are_never_more_than_three_digits(count):
    number, unit = size_in_words(count).split()
    assert "e" not in number
    assert float(number) < 1000
    assert unit in {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
