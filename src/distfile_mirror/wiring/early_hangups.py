"""SIGHUP to a process that does not listen for it yet: it waits until the process does.

Else it would be the end of a component that is about to come up. It imports next to nothing, to be the first that is
done; until then, while the interpreter starts, SIGHUP ends the process as it does any.
"""

import signal
import sys


def is_on_terminal() -> bool:
    """Tell whether somebody started this process on a terminal, and may close it."""
    return sys.stdin is not None and sys.stdin.isatty()


def hold_back() -> None:
    """Let SIGHUP wait until this thread unblocks it, also through an exec; forks do not inherit that (forks)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
