"""SIGHUP to a process that does not listen for it yet: it waits until the process does.

Else it would be the end of a component that is about to come up. It imports next to nothing, to be the first that is
done; until then, while the interpreter starts, SIGHUP ends the process as it does any.
"""

import signal
import sys


def is_on_terminal() -> bool:
    """Tell whether somebody started this process on a terminal, and may close it."""
    return sys.stdin is not None and sys.stdin.isatty()


def hold_back(*numbers: signal.Signals) -> None:
    """Let signals, or SIGHUP, wait until this thread unblocks them, also through an exec.

    Forks do not inherit that of SIGHUP (forks).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers or {signal.SIGHUP})
