"""The states of an artifact and the only moves between them.

An artifact is *requested* where somebody must approve it first, else *pending* at once. What was *rejected*
stays so until somebody who may approve declares it after all. A
downloader claims it (*fetching*) and ends in *present* or *failed*. A fault that may pass makes
both moves, to failed and back to pending, in one transaction, with the time of the next attempt.
What is present never leaves the store: it can only be *blocked*, bytes kept, and unblocked. More of an
image may be wanted (further platforms), which makes it pending while what it had is served on; and
because something of it is served, it can be blocked from there too.
A fetching row whose lease has run out is claimed again without a move.
"""

from enum import StrEnum
from itertools import pairwise

from distfile_mirror.errors import ConflictError


class State(StrEnum):
    """Where an artifact stands."""

    REQUESTED = "requested"
    REJECTED = "rejected"
    PENDING = "pending"
    FETCHING = "fetching"
    PRESENT = "present"
    FAILED = "failed"
    BLOCKED = "blocked"


ALLOWED_MOVES: dict[State, frozenset[State]] = {
    State.REQUESTED: frozenset({State.PENDING, State.REJECTED}),
    State.REJECTED: frozenset({State.PENDING}),
    State.PENDING: frozenset({State.FETCHING, State.BLOCKED}),
    State.FETCHING: frozenset({State.PRESENT, State.FAILED, State.BLOCKED}),
    State.PRESENT: frozenset({State.BLOCKED, State.PENDING}),
    State.FAILED: frozenset({State.PENDING, State.BLOCKED}),
    State.BLOCKED: frozenset({State.PRESENT}),
}


def check_moves(*path: State) -> State:
    """Return the last state of ``path`` if each step of it is allowed.

    Raises:
        ConflictError: naming the first step that is not, and what would be.
    """
    for here, there in pairwise(path):
        if there not in ALLOWED_MOVES[here]:
            allowed = ", ".join(sorted(ALLOWED_MOVES[here])) or "nothing"
            message = f"what is {here} cannot become {there}; from {here} it can become: {allowed}"
            raise ConflictError(message)
    return path[-1]
