"""Which of the claimed rows is started next: limits in all and per host, and hosts that are left alone for a while.

No I/O and no clock: every moment is given, in seconds of one monotonic clock.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Claimed(Protocol):
    """What the loop needs to know of a claimed row."""

    @property
    def row_id(self) -> int:
        """Its key in the catalog."""

    @property
    def uri(self) -> str:
        """Its name for people."""

    @property
    def host(self) -> str:
        """The host it comes from."""

    @property
    def attempts(self) -> int:
        """Failed attempts so far."""

    @property
    def request_id(self) -> str:
        """The request that asked for it last, if it is known."""


C = TypeVar("C", bound=Claimed)


class Backlog(Generic[C]):
    """Claimed rows that wait, and the count of those under way.

    Of each host at most twice its limit counts as waiting: a host with a thousand files due must
    not keep the files of others from being claimed.
    """

    def __init__(self, *, concurrency: int, per_host: int) -> None:
        self._concurrency = concurrency
        self._per_host = per_host
        self._waiting: OrderedDict[str, deque[C]] = OrderedDict()
        self._active: Counter[str] = Counter()
        self._cool_until: dict[str, float] = {}

    @property
    def active(self) -> int:
        """How many rows are under way."""
        return self._active.total()

    def waiting(self) -> list[C]:
        """Return the rows that wait."""
        return [claim for claims in self._waiting.values() for claim in claims]

    def room(self) -> int:
        """Return how many rows are worth claiming now; 0 until most of the backlog is gone, to claim many at once."""
        counted = sum(min(len(claims), 2 * self._per_host) for claims in self._waiting.values())
        return 0 if counted > self._concurrency else 4 * self._concurrency - counted

    def add(self, claims: Iterable[C]) -> None:
        """Let ``claims`` wait."""
        for claim in claims:
            self._waiting.setdefault(claim.host, deque()).append(claim)

    def start_next(self) -> C | None:
        """Take the row to be started now, or None. Hosts take turns."""
        if self.active >= self._concurrency:
            return None
        for host, claims in self._waiting.items():
            if self._active[host] < self._per_host:
                claim = claims.popleft()
                self._active[host] += 1
                self._waiting.move_to_end(host)
                if not claims:
                    del self._waiting[host]
                return claim
        return None

    def finish(self, host: str) -> None:
        """A row of ``host`` is under way no more."""
        self._active[host] -= 1
        if not self._active[host]:
            del self._active[host]

    def cool(self, host: str, until: float) -> list[C]:
        """Leave ``host`` alone until then; return its waiting rows, which are the caller's again."""
        self._cool_until[host] = max(until, self._cool_until.get(host, until))
        return list(self._waiting.pop(host, ()))

    def cooling(self, now: float) -> dict[str, float]:
        """Return the hosts to be left alone, and until when."""
        self._cool_until = {host: until for host, until in self._cool_until.items() if until > now}
        return self._cool_until

    def full_hosts(self) -> list[str]:
        """Return the hosts of which no more rows are worth claiming, until their backlog is half empty."""
        return [host for host, claims in self._waiting.items() if len(claims) > self._per_host]

    def drain(self) -> list[C]:
        """Take all that waits."""
        claims = self.waiting()
        self._waiting.clear()
        return claims
