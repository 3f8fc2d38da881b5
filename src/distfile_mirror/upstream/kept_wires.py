"""Connections that are kept for the next request to the same place."""

import asyncio

from distfile_mirror.upstream.dialing import Place
from distfile_mirror.upstream.wire import Wire

KEEPALIVE_SECONDS = 15.0


class KeptWires:
    """Idle connections of one event loop, each for at most ``seconds``."""

    def __init__(self, seconds: float = KEEPALIVE_SECONDS) -> None:
        self._seconds = seconds
        self._idle: dict[Place, list[tuple[float, Wire]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def take(self, place: Place) -> Wire | None:
        """Return the connection to ``place`` that was used last, if it can be used again, else None."""
        wires = self._idle.get(place, [])
        while wires:
            since, wire = wires.pop()
            if since + self._seconds > asyncio.get_running_loop().time() and wire.is_quiet():
                return wire
            wire.close()
        return None

    def put(self, place: Place, wire: Wire) -> None:
        """Keep ``wire``, on which nothing is asked."""
        loop = asyncio.get_running_loop()
        self._idle.setdefault(place, []).append((loop.time(), wire))
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._seconds, self._sweep)

    def close(self) -> None:
        """Close all."""
        for wires in self._idle.values():
            for _since, wire in wires:
                wire.close()
        self._idle.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._seconds
        for place, wires in list(self._idle.items()):
            self._idle[place] = [(since, wire) for since, wire in wires if since > oldest and wire.is_quiet()]
            for kept in wires:
                if kept not in self._idle[place]:
                    kept[1].close()
            if not self._idle[place]:
                del self._idle[place]
        self._sweeping = loop.call_later(self._seconds, self._sweep) if self._idle else None
