"""How long to wait for an upstream, by what is waited for: one timer for a whole fetch, set anew for each phase."""

import asyncio
from enum import Enum, auto


class Phase(Enum):
    """What is waited for."""

    ALL = auto()
    HEAD = auto()
    BODY = auto()


class Patience:
    """Moves the deadline of ``clock``, which was set to the end of all when this was made."""

    __slots__ = ("_clock", "_end", "_loop", "_phase")

    def __init__(self, clock: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._end = clock.when() or float("inf")
        self._phase = Phase.ALL

    def allow(self, seconds: float, phase: Phase) -> None:
        """Give ``phase`` so many seconds from now, or what is left of all."""
        self._phase = phase
        self._clock.reschedule(min(self._end, self._loop.time() + seconds))

    def relax(self) -> None:
        """Wait for nothing of the upstream's, only for the end of all."""
        self._phase = Phase.ALL
        self._clock.reschedule(self._end)

    @property
    def exhausted(self) -> Phase:
        """After the timer went off: whose time was over."""
        return Phase.ALL if self._loop.time() >= self._end else self._phase
