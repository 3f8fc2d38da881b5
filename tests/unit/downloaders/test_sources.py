import asyncio

import pytest

from distfile_mirror.downloaders.sources import from_first
from distfile_mirror.errors import PermanentFetchError, StorageError, TransientFetchError


def fetch_with(**results):
    asked = []

    async def fetch(source):
        asked.append(source)
        if isinstance(results[source], Exception):
            raise results[source]
        return results[source]

    return fetch, asked


def test_the_first_that_has_it():
    fetch, asked = fetch_with(a=PermanentFetchError("a: gone"), b="b", c="c")
    assert asyncio.run(from_first("abc", fetch)) == "b"
    assert asked == ["a", "b"]


def test_none_has_it():
    fetch, _ = fetch_with(a=PermanentFetchError("a: gone"), b=PermanentFetchError("b: wrong"))
    with pytest.raises(PermanentFetchError, match="no source has it: a: gone; then b: wrong"):
        asyncio.run(from_first("ab", fetch))
    with pytest.raises(PermanentFetchError, match=r"^a: gone$"):
        asyncio.run(from_first("a", fetch))


def test_it_may_pass_if_any_of_them_may():
    fetch, _ = fetch_with(a=TransientFetchError("a", retry_after=9), b=PermanentFetchError("b"))
    for order, wait in (("ab", 9), ("ba", None)):
        with pytest.raises(TransientFetchError) as found:
            asyncio.run(from_first(order, fetch))
        assert found.value.retry_after == wait


def test_a_fault_of_the_store_is_no_sources_fault():
    fetch, asked = fetch_with(a=StorageError("full"), b="b")
    with pytest.raises(StorageError):
        asyncio.run(from_first("ab", fetch))
    assert asked == ["a"]
