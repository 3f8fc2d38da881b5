"""How long to wait for an upstream, by what is waited for.

A deadline is set anew several times for each file; a timer for each would cost as much as asking for a
small one. So a deadline is a number, and one look, a few times a second, finds those that are over.
"""

import asyncio
from enum import Enum, auto

LOOK_SECONDS = 0.1


class Phase(Enum):
    """What is waited for."""

    ALL = auto()
    HEAD = auto()
    BODY = auto()


class Patience:
    """The deadline of one fetch: that of its phase, and that of all."""

    __slots__ = ("_end", "_loop", "clock", "deadline", "phase")

    def __init__(self, clock: asyncio.Timeout, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds
        self.clock = clock
        self.deadline = self._end
        self.phase = Phase.ALL

    def allow(self, seconds: float, phase: Phase) -> None:
        """Give ``phase`` so many seconds from now, or what is left of all."""
        deadline = self._loop.time() + seconds
        self.phase, self.deadline = (phase, deadline) if deadline < self._end else (Phase.ALL, self._end)

    def relax(self) -> None:
        """Wait for nothing of the upstream's, only for the end of all."""
        self.phase, self.deadline = Phase.ALL, self._end


class Watch:
    """Ends what has waited too long, within LOOK_SECONDS of its deadline; idle while there is nothing to watch."""

    def __init__(self) -> None:
        self._watched: set[Patience] = set()
        self._next: asyncio.TimerHandle | None = None

    def add(self, patience: Patience) -> None:
        """Watch ``patience``: its clock goes off after its deadline."""
        self._watched.add(patience)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def remove(self, patience: Patience) -> None:
        """Watch it no more."""
        self._watched.discard(patience)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for patience in [each for each in self._watched if each.deadline <= now]:
            self._watched.discard(patience)
            patience.clock.reschedule(now)
        self._next = loop.call_later(LOOK_SECONDS, self._look) if self._watched else None
