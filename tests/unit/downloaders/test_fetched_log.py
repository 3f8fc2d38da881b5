"""One line for what is fetched at one time."""

import asyncio

import structlog

from distfile_mirror.downloaders.fetched_log import FetchedLog


def test_what_comes_together_is_one_line():
    async def scenario():
        told = FetchedLog()
        for number in range(3):
            told.add(f"https://example.org/{number}", number, 0.12345)
        await asyncio.sleep(0)
        told.add("https://example.org/alone", 7, 1)
        await asyncio.sleep(0)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scenario())
    together, alone = lines
    assert together["count"] == 3
    assert together["files"][0] == {"uri": "https://example.org/0", "bytes": 0, "seconds": 0.123}
    assert (alone["uri"], alone["bytes"]) == ("https://example.org/alone", 7)
