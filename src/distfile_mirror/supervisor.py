"""Runs processes and keeps them running: starts them, restarts one that dies, replaces them, forwards the end.

Children hold the reading end of a pipe whose other end is this process's: should it be killed
outright, they see the pipe close and end at once, and no orphan keeps a port or a lease.
"""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from distfile_mirror.errors import MirrorError

LIFELINE_VARIABLE = "DISTFILE_MIRROR_LIFELINE"
READY_VARIABLE = "DISTFILE_MIRROR_READY"
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
    """A process to keep running. ``inherited``: descriptors that it gets, under the same numbers."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    inherited: tuple[int, ...] = field(default=())


Reload = Callable[[], Sequence[Child]]


def supervise(
    children: Sequence[Child],
    *,
    stop_grace: float,
    started: Callable[[], None] | None = None,
    reload: Reload | None = None,
) -> None:
    """Keep ``children`` running until SIGTERM or SIGINT, then end them: SIGTERM, and after a while SIGKILL.

    ``stop_grace``: seconds that children give to work under way. ``started`` is called, in a thread
    of its own, once all have been started for the first time. At SIGHUP ``reload`` says, in a thread, what is to run
    from now on; each process is replaced in its turn, the old one ended when the new one is at work. It
    raises MirrorError where that cannot be, and nothing changes. Without it SIGHUP ends all, too.
    """
    asyncio.run(_Supervisor(stop_grace, reload).run(children, started))


def end_with_supervisor() -> None:
    """In a child: end this process at once when its supervisor is gone, however it went."""
    lifeline = os.environ.pop(LIFELINE_VARIABLE, "")
    if lifeline:
        threading.Thread(target=_watch, args=(int(lifeline),), daemon=True, name="lifeline").start()


def tell_ready() -> None:
    """In a child: say that it is at work; what it replaces may end. Without a supervisor it does nothing."""
    ready = os.environ.pop(READY_VARIABLE, "")
    if ready:
        with suppress(OSError):
            os.write(int(ready), b"1")
            os.close(int(ready))


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    # No clean-up: whatever state this leaves behind is one that a power cut may leave, too.
    os._exit(1)


class _Supervisor:
    def __init__(self, stop_grace: float, reload: Reload | None) -> None:
        self._stop_grace = stop_grace
        self._reload = reload
        self._stop = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._keepers: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def run(self, children: Sequence[Child], started: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set if self._reload else self._stop.set)
        self._lifeline, held_end = os.pipe()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for child in children:
                    self._keep(child)
                tasks.create_task(self._replace_when_asked())
                if started is not None:
                    # Not awaited: it may wait for the children, and must not keep this from ending.
                    threading.Thread(target=started, daemon=True, name="started").start()
        finally:
            os.close(self._lifeline)
            os.close(held_end)

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
            process = process or await self._start(child)
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
            children = await asyncio.to_thread(self._reload)
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
        process = await self._start(child, tells_ready=True)
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

    async def _start(self, child: Child, *, tells_ready: bool = False) -> "_Process":
        environment = {**child.environment, LIFELINE_VARIABLE: str(self._lifeline)}
        told, telling = os.pipe() if tells_ready else (-1, -1)
        if tells_ready:
            environment[READY_VARIABLE] = str(telling)
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env=environment,
            pass_fds=(self._lifeline, *child.inherited, *((telling,) if tells_ready else ())),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
        )
        if tells_ready:
            os.close(telling)
        return _Process(child.name, process, told)


class _Process:
    """A running child. ``told``: a pipe on which it says that it is ready, or -1."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, told: int) -> None:
        self._name = name
        self._process = process
        self._told = told

    @property
    def status(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> None:
        await self._process.wait()

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
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(stop_grace + KILL_AFTER_GRACE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            log.error("a process did not end in time and is killed", process=self._name)  # noqa: TRY400
            self._process.kill()
            await self._process.wait()


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(item) for item in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
