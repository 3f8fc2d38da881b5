"""Licences are SPDX expressions in their official spelling."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distfile_mirror.model.licences import normalise_licence

WORDS = [
    "MIT",
    "apache-2.0",
    "AND",
    "OR",
    "WITH",
    "(",
    ")",
    "GPL-2.0-or-later",
    "Classpath-exception-2.0",
    "+",
    "nonsense",
    "-",
]


@pytest.mark.parametrize(
    ("text", "official"),
    [
        ("", ""),
        ("  ", ""),
        ("mit", "MIT"),
        ("MIT or apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("LicenseRef-Acme-EULA", "LicenseRef-Acme-EULA"),
        ("(MIT AND ISC) OR LicenseRef-x", "(MIT AND ISC) OR LicenseRef-x"),
    ],
)
def test_identifiers_take_their_official_spelling(text, official):
    assert normalise_licence(text) == official


@pytest.mark.parametrize(
    "text", ["MTI", "MIT OR", "MIT Apache-2.0", "(MIT", "AND", "see COPYING", "LicenseRef-", "MIT; rm"]
)
def test_what_is_no_expression_is_refused_by_name(text):
    with pytest.raises(ValueError):
        normalise_licence(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=40))
def test_nothing_but_value_error_is_raised_and_normalising_is_idempotent(text):
    try:
        official = normalise_licence(text)
    except ValueError:
        return
    assert normalise_licence(official) == official


def test_deep_nesting_is_refused_or_read_but_never_ends_the_process():
    text = "(" * 5000 + "MIT" + ")" * 5000
    with contextlib.suppress(ValueError):
        assert normalise_licence(text) == "MIT"
