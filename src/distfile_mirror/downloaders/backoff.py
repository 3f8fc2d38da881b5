"""How long to wait before the next attempt."""

import random

_ENOUGH_DOUBLINGS = 60


def next_wait(
    failures: int, *, backoff: float, max_backoff: float, retry_after: float | None, chance: random.Random
) -> float:
    """Return the seconds to wait after ``failures`` failed attempts (at least 1).

    What upstream asked for is kept to, up to ``max_backoff``. Otherwise the wait is random
    between ``backoff`` and that doubled with each failure, so that many files of one upstream
    that fell over do not come back all at once.
    """
    if retry_after is not None:
        return min(retry_after, max_backoff)
    longest = min(max_backoff, backoff * 2 ** min(failures, _ENOUGH_DOUBLINGS))
    return chance.uniform(min(backoff, longest), longest)
