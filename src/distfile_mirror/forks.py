"""Processes that are forks of this one: they begin with what it has imported, and with nothing else of it.

A fork has signals, session and standard input of its own. It ends with what it runs, and at once, without cleaning
up, when the process that forked it is gone (ADR 0007). Who forks has no second thread, and no open database.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import setproctitle
import structlog

from distfile_mirror.errors import MirrorError, in_one_line

FAILED = 1
NO_DESCRIPTOR = -1
STANDARD_INPUT = 0

log = structlog.get_logger()


class Lifeline:
    """A pipe that nobody writes to: forks have the reading end, and see it close when this process is gone."""

    def __init__(self) -> None:
        self._reading, self._held = os.pipe()

    def close(self) -> None:
        """Let go of it; forks that still live end."""
        os.close(self._reading)
        os.close(self._held)

    def follow(self) -> None:
        """In a fork: end this process when the other is gone."""
        # Were one fork to hold this end, no other would ever notice.
        os.close(self._held)
        threading.Thread(target=self._wait, daemon=True, name="lifeline").start()

    def _wait(self) -> None:
        os.read(self._reading, 1)
        # No clean-up: whatever state this leaves behind is one that a power cut may leave, too.
        os._exit(FAILED)


def settle() -> None:
    """Before forking: let the garbage collector of no fork look at what is there now, and so copy its memory."""
    gc.collect()
    gc.freeze()


def fork(name: str, run: Callable[[], object], lifeline: Lifeline) -> int:
    """Return the id of a new process that calls ``run``, in a session of its own.

    ``name`` is what `ps` shows. Its exit status is 0, or 1 where ``run`` raised what it cannot help; SystemExit has
    its own. The caller waits for it.
    """

    def begin() -> object:
        os.setsid()  # Ctrl-C reaches the parent alone, which ends the others in order
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent hears it for all
        lifeline.follow()
        setproctitle.setproctitle(f"distfile-mirror {name}")
        return run()

    return _fork(begin)


def begin_apart(run: Callable[[], object]) -> Callable[[], int]:
    """Call ``run`` in another process; return what waits for it, and gives its exit status as ``fork`` has it.

    Negative: the number of the signal that ended it.
    """
    pid = _fork(run)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fork(run: Callable[[], object]) -> int:
    _flush()
    # A signal in between would be told to the parent's event loop, whose wake-up pipe both have.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _be_fork(run, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_fork(run: Callable[[], object], mask: set[int]) -> NoReturn:
    status = FAILED
    try:
        signal.set_wakeup_fd(NO_DESCRIPTOR)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # A parent that holds it back hears it for all, later.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if signal.SIGHUP in mask else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask - {signal.SIGHUP})
        _close_standard_input()
        status = _status_of(run)
        _flush()
    finally:
        # What the parent wants done at its own end is none of this process's business.
        os._exit(status)


def _close_standard_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    if null != STANDARD_INPUT:  # unless it was closed
        os.dup2(null, STANDARD_INPUT)
        os.close(null)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as it is in a process that was started with closed descriptors
            with suppress(OSError, ValueError):
                stream.flush()


def _status_of(run: Callable[[], object]) -> int:
    try:
        run()
    except (MirrorError, OSError) as error:
        with suppress(OSError):
            print(f"distfile-mirror: {in_one_line(error)}", file=sys.stderr)  # noqa: T201 - as the command does
        return FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except BaseException:
        log.exception("a process failed")
        return FAILED
    return 0
