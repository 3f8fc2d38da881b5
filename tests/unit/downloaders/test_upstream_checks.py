"""Asking upstreams after stored files: how it ends."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from distfile_mirror.catalog.drift import StoredFile
from distfile_mirror.catalog.rounds import Going
from distfile_mirror.downloaders.upstream_checks import UpstreamChecks
from distfile_mirror.errors import TransientFetchError, UnavailableError

ANSWERS = {
    "is_ready": True,
    "take": Going("upstreams", "owner", "", 0, 0, 0),
    "next_file": StoredFile(1, "https://example.org/foo", 1, {}),
    "record_verdict": None,
    "keep": True,
    "leave": None,
}


class Catalog:
    """One with a single file, which can be ``away``."""

    def __init__(self):
        self.away = False
        self.asked = asyncio.Event()

    async def call(self, function):
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("the database does not answer now")
        name = getattr(function, "func", function).__name__
        if name == "keep":
            self.asked.set()
        return ANSWERS[name]


class Upstream:
    async def look(self, uri):
        raise TransientFetchError(f"{uri} does not answer")


@pytest.mark.parametrize("away", [False, True])
def test_it_ends_when_it_is_cancelled_whether_or_not_the_database_is_there(away):
    async def cancel_between_questions():
        catalog = Catalog()
        tools = SimpleNamespace(catalog=catalog, upstream=Upstream())
        checks = UpstreamChecks(tools, "owner", seconds=60, again_after=timedelta(days=1))
        going = asyncio.create_task(checks.watch())
        await catalog.asked.wait()
        catalog.away = away
        going.cancel()
        done, _ = await asyncio.wait([going], timeout=5)
        assert done
        assert going.cancelled()

    asyncio.run(cancel_between_questions())
