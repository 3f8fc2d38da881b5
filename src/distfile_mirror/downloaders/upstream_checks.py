"""Asks the upstreams of stored files, gently and one after the other, whether they still have them.

A HEAD now and then tells that a file changed there, or is gone and this is the last copy. One process of all
asks; where it stands is in the catalog.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from distfile_mirror.catalog import care, drift, rounds
from distfile_mirror.catalog.drift import StoredFile
from distfile_mirror.catalog.rounds import Going
from distfile_mirror.downloaders.metrics import CHECKS
from distfile_mirror.downloaders.running import Tools
from distfile_mirror.errors import PermanentFetchError, TransientFetchError, UnavailableError
from distfile_mirror.model.drift import DRIFTED, Said, Stored, Verdict, judge
from distfile_mirror.upstream.settings import Head

LEASE = timedelta(seconds=120)
# Between looks for a round to go.
PAUSE_SECONDS = 60.0
# Who runs for a moment begins no question later than this, and waits no longer than this for an answer.
ONCE_SECONDS = 10.0
ANSWER_SECONDS = 10.0
ENCODED = "Content-Encoding"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """For a run: a moment of the loop's clock ``until`` which questions are begun, seconds of ``patience`` with each.

    Only what has been stored for ``stored_for`` is asked after.
    """

    until: float = float("inf")
    patience: float | None = None
    stored_for: timedelta = timedelta(0)


class UpstreamChecks:
    """A chore of a downloader named ``owner``. ``seconds``: between two questions; 0: none is asked."""

    def __init__(self, tools: Tools, owner: str, *, seconds: float, again_after: timedelta) -> None:
        self._tools = tools
        self._owner = owner
        self._seconds = seconds
        self._again_after = again_after

    async def watch(self) -> None:
        """Go round after round, until cancelled."""
        while self._seconds:
            await self._go(Bounds())
            await asyncio.sleep(min(PAUSE_SECONDS, 10 * self._seconds))

    async def once(self) -> None:
        """Ask a few; who runs next goes on from there. What has just been stored is not asked after."""
        if self._seconds:
            until = asyncio.get_running_loop().time() + ONCE_SECONDS
            await self._go(Bounds(until, ANSWER_SECONDS, stored_for=self._again_after))

    async def _go(self, bounds: Bounds) -> None:
        try:
            await self._go_on(bounds)
        except UnavailableError as error:
            log.warning("upstreams are not asked after stored files now", reason=str(error))

    async def _go_on(self, bounds: Bounds) -> None:
        call, loop = self._tools.catalog.call, asyncio.get_running_loop()
        if not await call(care.is_ready):
            return
        if bounds.stored_for and not await call(partial(drift.has_any, stored_for=bounds.stored_for)):
            return
        take = partial(rounds.take, rounds.UPSTREAMS, self._owner, lease=LEASE, again_after=self._again_after)
        going = await call(take)
        if going is None:
            return
        try:
            pause = 0.0
            while file := await call(partial(drift.next_file, int(going.position or 0), stored_for=bounds.stored_for)):
                if loop.time() + pause > bounds.until:
                    await call(partial(rounds.leave, going))
                    return
                await asyncio.sleep(pause)
                await self._check(going, file, bounds)
                if not await call(partial(rounds.keep, going, lease=LEASE)):
                    return
                pause = self._seconds
            await call(partial(rounds.finish, going))
        except asyncio.CancelledError:
            with suppress(UnavailableError):  # the round's lease ends by itself
                await asyncio.shield(call(partial(rounds.leave, going)))
            raise

    async def _check(self, going: Going, file: StoredFile, bounds: Bounds) -> None:
        verdict, message = await self._ask(file, bounds)
        CHECKS.labels(verdict.value).inc()
        if verdict in DRIFTED:
            going.found += 1
            log.info("an upstream has changed", uri=file.uri, verdict=verdict.value, reason=message)
        record = partial(drift.record_verdict, file.row_id, verdict, message, actor=self._owner)
        await self._tools.catalog.call(record)
        going.position = str(file.row_id)
        going.looked_at += 1

    async def _ask(self, file: StoredFile, bounds: Bounds) -> tuple[Verdict, str]:
        try:
            async with asyncio.timeout(bounds.patience):
                head = await self._tools.upstream.look(file.uri)
        except (TransientFetchError, PermanentFetchError) as error:
            return Verdict.UNKNOWN, str(error)
        except TimeoutError:  # an answer that is not there in time keeps nobody from asking after the next file
            return Verdict.UNKNOWN, f"{file.uri} did not answer within {bounds.patience:g} s"
        return judge(_stored(file), _said(head))


def _stored(file: StoredFile) -> Stored:
    return Stored(file.size, file.headers.get("Last-Modified", ""), bool(file.headers.get(ENCODED)))


def _said(head: Head) -> Said:
    is_encoded = head.headers.get(ENCODED, "identity").lower() != "identity"
    return Said(head.status, head.content_length, head.headers.get("Last-Modified", "").strip(), is_encoded)
