"""Search for a part of a URI: on every database the same as plain Python says, in every order."""

import hashlib
import random
import string

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from distfile_mirror.catalog import search
from distfile_mirror.catalog.listing import ORDERS, Filters, list_files
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.trigrams import MOST_LOOKED_UP, match_expression
from tests.unit.catalog.files import SHA256, declare, present

pytestmark = pytest.mark.django_db

ODD = 'https://example.org/Pool/100%25_"quoted"*/it\'s(a)-NEAR-b+{c}:d^e\\f.tar.gz'

TEXTS = (
    *("100%25", "%25", "%", "_", '_"q', '"quoted"', '"', '""', 'd"*', "*/it's(a)", "'s(", "NEAR", "near", "OR"),
    *("-NEAR-", "+{c}:d", "{c}", ":d^", "^e", "\\f.", "e\\f", "\\", "org/pool", "HTTPS://EXAMPLE", "gz", "g", ".GZ"),
    ODD,
)


@pytest.fixture(params=[0, 2, 50_000])
def _frequent(request, monkeypatch):
    monkeypatch.setattr(search, "FREQUENT", request.param)


def found(text, order="newest", limit=2, **filters):
    """Return the keys on all pages."""
    keys, cursor = [], ""
    while True:
        page = list_files(Filters(q=text, **filters), order=order, cursor=cursor, limit=limit)
        keys += [file.pk for file in page.items]
        cursor = page.next_cursor
        if not cursor:
            return keys


def add(*uris, **fields):
    """Add rows as nobody declares them, which need not be URIs."""
    keys = [hashlib.sha256(uri.encode()).digest() for uri in uris]
    rows = [File(uri=uri, uri_key=key, host="h", **fields) for uri, key in zip(uris, keys, strict=True)]
    return File.objects.bulk_create(rows)


@pytest.mark.usefixtures("_frequent")
def test_every_character_stands_for_itself():
    rows = [declare("https://elsewhere.test/x").file, declare(ODD).file]
    for text in TEXTS:
        assert found(text) == [each.pk for each in rows[::-1] if text.lower() in each.uri.lower()], text


@pytest.mark.usefixtures("_frequent")
def test_what_no_uri_has_is_not_found():
    declare(ODD)
    for text in ("100%26", "100525", '"quoted" ', "a.tar", "uri:pool", "pool*", "xxx", "xx", "-" * 9):
        assert found(text) == [], text


@pytest.mark.usefixtures("_frequent")
def test_of_any_alphabet():
    file, _other = add("https://example.org/Größe-日本語-🧪🧪🧪-\u0130.tgz", "https://example.org/plain")
    for text in ("Größe", "öße", "日本語", "日", "語-🧪", "🧪🧪🧪", "\u0130.TGZ"):
        assert found(text) == [file.pk], text
    assert found("日本人") == []


def test_a_nul_ends_nothing_else():
    if connection.vendor == "sqlite":  # others have no such text
        declare("https://example.org/a.tgz")
        assert found("exa\0mple") == []


@pytest.mark.usefixtures("_frequent")
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_and_the_filters_are_those_of_the_list(order):
    for number in range(5):
        present(f"https://example.org/a-{number}.tgz", project=f"p{number % 2}")
        present(f"https://example.org/feed-{number}.tgz", project="p1")
    for filters in ({}, {"project": "p1"}, {"state": "present"}, {"host": "example.org"}, {"state": "failed"}):
        every = found("", order, limit=50, **filters)
        for text in ("example", "a-", "tgz", SHA256[:6], SHA256[9:], "ee", "none at all"):
            kept = {file.pk for file in File.objects.all() if text in file.uri or text in file.sha256}
            assert found(text, order, **filters) == [key for key in every if key in kept], text


CHARACTERS = string.ascii_letters + string.digits + string.punctuation
RANDOM = random.Random(6)
URIS = ["https://" + "".join(RANDOM.choices(CHARACTERS, k=RANDOM.randint(1, 60))) for _ in range(100)]
URIS += ["https://" + "".join(RANDOM.choices("aB%_\"'", k=RANDOM.randint(1, 30))) for _ in range(100)]


@st.composite
def parts(draw):
    """Draw a part of one of URIS, in letters of either case."""
    uri = draw(st.sampled_from(URIS))
    begin = draw(st.integers(0, len(uri) - 1))
    part = uri[begin : draw(st.integers(begin + 1, len(uri)))]
    return draw(st.sampled_from([part, part.upper(), part.swapcase()]))


@pytest.mark.usefixtures("_frequent")
def test_it_is_what_plain_python_says():
    rows = add(*URIS)

    @settings(deadline=None)
    @given(parts() | st.text("aB%_\"'", min_size=1, max_size=6) | st.text(CHARACTERS, min_size=1, max_size=4))
    def check(text):
        expected = [row.pk for row in rows if text.lower() in row.uri.lower()]
        assert found(text, "oldest", limit=50) == expected
        assert found(text, "newest", limit=50) == expected[::-1]

    check()


def test_a_long_text_is_looked_up_by_trigrams_from_all_over_it():
    text = "".join(chr(number) for number in range(0x4E00, 0x4E00 + 500))
    looked_up = match_expression(text).split()
    assert len(looked_up) == MOST_LOOKED_UP
    assert looked_up[0] == f'"{text[:3]}"'
    assert text.index(looked_up[-1].strip('"')) > 400
