import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.redirects import next_hop
from distfile_mirror.upstream.settings import Head

HERE = parse_file_uri("https://up.test/a/b?c")


def hop(location, visited=()):
    return str(next_hop([str(HERE), *visited], HERE, Head(302, "Found", {"Location": location}, str(HERE))))


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x%2Fy?z=%7e#top", "https://up.test/x%2Fy?z=%7e"),
        ("../d", "https://up.test/d"),
        ("//CDN.test/d", "https://cdn.test/d"),
        ("http://cdn.test:80/d e", "http://cdn.test/d%20e"),
        ("/\udcc3\udca9", "https://up.test/%C3%A9"),
    ],
)
def test_targets(location, target):
    assert hop(location) == target


@pytest.mark.parametrize(
    "location", ["", "ftp://up.test/x", "https://user:pw@up.test/x", "https://up.test:99999/", "?c"]
)
def test_refused(location):
    with pytest.raises(PermanentFetchError):
        hop(location)


@given(st.text())
def test_whatever_comes(location):
    with contextlib.suppress(PermanentFetchError):
        assert parse_file_uri(hop(location))
