"""Runs processes and keeps them running: starts them, restarts one that dies, replaces them, forwards the end.

They are forks of this one (ADR 0019).
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from distfile_mirror.errors import MirrorError
from distfile_mirror.forks import NO_DESCRIPTOR, Lifeline, fork, settle

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 30.0
# A child that lived so long was healthy: the next restart is quick again.
HEALTHY_SECONDS = 30.0
KILL_AFTER_GRACE_SECONDS = 5.0
# What replaces a child has so long to begin its work.
READY_WITHIN_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running: one that calls ``run``. ``name`` is its alone, and what `ps` shows."""

    name: str
    run: Callable[[], object]


Reload = Callable[[], Sequence[Child]]

# Where this process, a child that replaces another, says that it is at work.
_telling = NO_DESCRIPTOR


def supervise(
    children: Sequence[Child],
    *,
    stop_grace: float,
    started: Callable[[], None] | None = None,
    reload: Reload | None = None,
) -> None:
    """Keep ``children`` running until SIGTERM or SIGINT, then end them: SIGTERM, and after a while SIGKILL.

    ``stop_grace``: seconds that children give to work under way. ``started`` is called, in a process
    of its own, once all have been started for the first time. At SIGHUP ``reload`` says what is to run
    from now on; each process is replaced in its turn, the old one ended when the new one is at work. It
    raises MirrorError where that cannot be, and nothing changes. Without it SIGHUP ends all, too.
    """
    settle()
    asyncio.run(_Supervisor(stop_grace, reload).run(children, started))


def tell_ready() -> None:
    """In a child: say that it is at work; what it replaces may end. Without a supervisor it does nothing."""
    global _telling  # noqa: PLW0603 - there is one process
    if _telling != NO_DESCRIPTOR:
        with suppress(OSError):
            os.write(_telling, b"1")
            os.close(_telling)
        _telling = NO_DESCRIPTOR


class _Supervisor:
    def __init__(self, stop_grace: float, reload: Reload | None) -> None:
        self._stop_grace = stop_grace
        self._reload = reload
        self._stop = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._lifeline = Lifeline()
        self._running: dict[int, _Process] = {}
        self._keepers: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def run(self, children: Sequence[Child], started: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set if self._reload else self._stop.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # it may have been held back until now
        loop.add_signal_handler(signal.SIGCHLD, self._bury)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for child in children:
                    self._keep(child)
                tasks.create_task(self._replace_when_asked())
                if started is not None:
                    # Not awaited: it may wait for the children, and must not keep this from ending.
                    self._start(Child("started", started))
        finally:
            self._lifeline.close()

    def _bury(self) -> None:
        """Take note of every process that has ended. Signals are not counted: one may tell of several."""
        for pid in [*self._running]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._running.pop(pid).has_ended(os.waitstatus_to_exitcode(status))

    def _keep(self, child: Child, process: "_Process | None" = None) -> None:
        leave = asyncio.Event()
        task = self._tasks.create_task(self._keep_running(child, leave, process))
        self._keepers[child.name] = leave, task

    async def _keep_running(self, child: Child, leave: asyncio.Event, process: "_Process | None") -> None:
        """Run ``child``, in ``process`` at first, until all is to stop, or this one, as ``leave`` says."""
        backoff = FIRST_BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        while not self._stop.is_set() and not leave.is_set():
            begun = loop.time()
            process = process or self._start(child)
            await _first_of(process.wait(), self._stop.wait(), leave.wait())
            if self._stop.is_set() or leave.is_set():
                await process.end(self._stop_grace)
                return
            if loop.time() - begun > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            log.error("a process died; it is started again", process=child.name, status=process.status, wait=backoff)
            process = None
            await _first_of(asyncio.sleep(backoff), self._stop.wait(), leave.wait())
            backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    async def _replace_when_asked(self) -> None:
        while not self._stop.is_set():
            await _first_of(self._hung_up.wait(), self._stop.wait())
            if self._hung_up.is_set() and not self._stop.is_set():
                self._hung_up.clear()
                await self._replace_all()

    async def _replace_all(self) -> None:
        assert self._reload is not None  # noqa: S101 - else nobody listens for it
        try:
            children = self._reload()
        except MirrorError as error:
            log.error("what was read anew cannot be used; nothing changed", reason=str(error))  # noqa: TRY400
            return
        for name in self._keepers.keys() - {child.name for child in children}:
            await self._leave(name)
        for child in children:
            if self._stop.is_set() or not await self._replace(child):
                return
        log.info("every process has been replaced", processes=len(children))

    async def _replace(self, child: Child) -> bool:
        """Start ``child`` beside the process that has its name, then end that one; return whether it worked."""
        process = self._start(child, tells_ready=True)
        if not await process.ready(self._stop.wait()):
            await process.end(self._stop_grace)
            if not self._stop.is_set():
                log.error("the new process did not come up; the old ones run on", process=child.name)
            return False
        if child.name in self._keepers:
            await self._leave(child.name)
        self._keep(child, process)
        return True

    async def _leave(self, name: str) -> None:
        leave, task = self._keepers.pop(name)
        leave.set()
        await asyncio.wait([task])

    def _start(self, child: Child, *, tells_ready: bool = False) -> "_Process":
        told, telling = os.pipe() if tells_ready else (NO_DESCRIPTOR, NO_DESCRIPTOR)

        def run() -> None:
            global _telling  # noqa: PLW0603 - there is one process
            _telling = telling
            child.run()

        pid = fork(child.name, run, self._lifeline)
        if tells_ready:
            os.close(telling)
        self._running[pid] = _Process(child.name, pid, told)
        return self._running[pid]


class _Process:
    """A child that runs, or ran. ``told``: a pipe on which it says that it is ready, if it does."""

    def __init__(self, name: str, pid: int, told: int) -> None:
        self.status: int | None = None
        self._name = name
        self._pid = pid
        self._told = told
        self._ended = asyncio.Event()

    def has_ended(self, status: int) -> None:
        """Take note of its end. ``status``: its exit status, or the negative number of the signal that ended it."""
        self.status = status
        self._ended.set()

    async def wait(self) -> None:
        await self._ended.wait()

    async def ready(self, stop: Coroutine[Any, Any, object]) -> bool:
        """Wait until it says that it is ready; return False if it ends, or says nothing for long, or at ``stop``."""
        loop = asyncio.get_running_loop()
        said = asyncio.Event()
        loop.add_reader(self._told, said.set)  # also at its end, when the pipe closes
        await _first_of(said.wait(), self.wait(), asyncio.sleep(READY_WITHIN_SECONDS), stop)
        loop.remove_reader(self._told)
        is_ready = said.is_set() and os.read(self._told, 1) == b"1"
        os.close(self._told)
        return is_ready

    async def end(self, stop_grace: float) -> None:
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(stop_grace + KILL_AFTER_GRACE_SECONDS):
                await self.wait()
        except TimeoutError:
            log.error("a process did not end in time and is killed", process=self._name)  # noqa: TRY400
            self._signal(signal.SIGKILL)
            await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.status is None:  # else its id may be another's by now
            os.kill(self._pid, number)


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(item) for item in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
