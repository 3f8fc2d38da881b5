"""What goes on beside downloads."""

import asyncio
from contextlib import suppress

from distfile_mirror.downloaders import running


def test_a_chore_that_fails_begins_anew(monkeypatch):
    monkeypatch.setattr(running, "CHORE_PAUSE_SECONDS", 0)
    begun = []

    async def chore():
        begun.append(len(begun))
        if len(begun) < 3:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    async def go_on():
        with suppress(TimeoutError):
            await asyncio.wait_for(running._go_on_with(chore), 1)

    asyncio.run(go_on())
    assert begun == [0, 1, 2]
