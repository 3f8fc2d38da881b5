"""A process beside a downloader, for what holds the interpreter's lock for long: writing rows, and many small files.

It is a fork (ADR 0021). Functions go to it through pipes, pickled with their arguments, and results come back. It
ends with its downloader, in order or at once; should it end before, its work is done in the downloader itself.
"""

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from typing import Any, Protocol, TypeVar

import structlog

from distfile_mirror.forks import Lifeline, fork

T = TypeVar("T")

log = structlog.get_logger()


class Caller(Protocol):
    """Calls a function, wherever that is; returns what it returns, and raises what it raises."""

    def __call__(self, function: Callable[[], T], /) -> T:
        """See above."""


def here(function: Callable[[], T]) -> T:
    """Call ``function`` in this process."""
    return function()


@dataclass(frozen=True, slots=True)
class Callers:
    """Where calls to the catalog are made, and those that store small blobs in a folder."""

    catalog: Caller = here
    blobs: Caller = here


HERE = Callers()


@contextmanager
def side_process(name: str) -> Iterator[Callers]:
    """Give what calls functions in a process of its own; ``name`` is what `ps` shows.

    To be entered while there is neither a second thread nor an open database, but for the thread of a lifeline.
    If there can be no more processes, functions are called in this one.
    """
    with ExitStack() as stack:
        try:
            callers = _begin(name, stack)
        except OSError as error:
            log.warning("there is no side process; what it does is done here", reason=error.strerror)
            callers = HERE
        yield callers


def _begin(name: str, stack: ExitStack) -> Callers:
    lifeline = Lifeline()
    stack.callback(lifeline.close)
    lines = (_Line(), _Line())
    for line in lines:
        stack.callback(line.far.close)
    pid = fork(name, lambda: _work(lines), lifeline)
    stack.callback(_wait_for, pid)
    for line in lines:
        stack.callback(line.near.close)
    for line in lines:
        line.far.close()
    return Callers(catalog=lines[0].call, blobs=lines[1].call)


def _wait_for(pid: int) -> None:
    with suppress(ChildProcessError):  # whoever started us ignores SIGCHLD, so the kernel has buried it
        os.waitpid(pid, 0)


class _Line:
    """A pipe to the other process, and a thread there. One call at a time."""

    def __init__(self) -> None:
        self.near, self.far = Pipe()
        self._is_cut = False

    def call(self, function: Callable[[], T]) -> T:
        """Call ``function`` in the other process, or here if that has ended: in the middle of it perhaps.

        So it must be one that does no harm when it is done twice.
        """
        if self._is_cut:
            return function()
        try:
            self.near.send_bytes(pickle.dumps(function))
            succeeded: bool
            result: Any
            succeeded, result = pickle.loads(self.near.recv_bytes())  # noqa: S301 - our own
        except (EOFError, OSError):
            self._is_cut = True
            log.warning("the side process has ended; what it did is done here from now on")
            return function()
        if not succeeded:
            raise result
        returned: T = result
        return returned

    def answer(self) -> None:
        """In the other process: do what is called, until the end."""
        try:
            while True:
                self.far.send_bytes(_outcome(self.far.recv_bytes()))
        except EOFError:
            pass
        finally:
            self.far.close()  # whatever happened, the caller must not wait for ever


def _work(lines: Sequence[_Line]) -> None:
    # Who ends a whole group of processes, as systemd does, means that the downloader finishes what is under way.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for line in lines:
        line.near.close()
    threads = [threading.Thread(target=line.answer) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _outcome(called: bytes) -> bytes:
    try:
        function: Callable[[], Any] = pickle.loads(called)  # noqa: S301 - our own
        return pickle.dumps((True, function()))
    except BaseException as error:  # noqa: BLE001 - it is raised where it was called
        return _as_raised(error)


def _as_raised(error: BaseException) -> bytes:
    """Return ``error`` as it is sent, with a note of where it was raised."""
    where = "".join(traceback.format_exception(error))
    error.add_note(f"In the side process: {where}")
    try:
        sent = pickle.dumps((False, error))
        pickle.loads(sent)  # noqa: S301 - some cannot be made anew from what they show
    except Exception:  # noqa: BLE001
        return pickle.dumps((False, RuntimeError(where)))
    return sent
