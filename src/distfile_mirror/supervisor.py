"""Runs processes and keeps them running: starts them, restarts one that dies, forwards the end.

Children hold the reading end of a pipe whose other end is this process's: should it be killed
outright, they see the pipe close and end at once, and no orphan keeps a port or a lease.
"""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

LIFELINE_VARIABLE = "DISTFILE_MIRROR_LIFELINE"
FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 30.0
# A child that lived so long was healthy: the next restart is quick again.
HEALTHY_SECONDS = 30.0
KILL_AFTER_GRACE_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running. ``inherited``: descriptors that it gets, under the same numbers."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    inherited: tuple[int, ...] = field(default=())


def supervise(children: Sequence[Child], *, stop_grace: float, started: Callable[[], None] | None = None) -> None:
    """Keep ``children`` running until SIGTERM or SIGINT, then end them: SIGTERM, and after a while SIGKILL.

    ``stop_grace``: seconds that children give to work under way. ``started`` is called, in a thread
    of its own, once all have been started for the first time.
    """
    asyncio.run(_supervise(children, stop_grace, started))


def end_with_supervisor() -> None:
    """In a child: end this process at once when its supervisor is gone, however it went."""
    lifeline = os.environ.pop(LIFELINE_VARIABLE, "")
    if lifeline:
        threading.Thread(target=_watch, args=(int(lifeline),), daemon=True, name="lifeline").start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    # No clean-up: whatever state this leaves behind is one that a power cut may leave, too.
    os._exit(1)


async def _supervise(children: Sequence[Child], stop_grace: float, started: Callable[[], None] | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lifeline, held_end = os.pipe()
    try:
        async with asyncio.TaskGroup() as tasks:
            for child in children:
                tasks.create_task(_keep_running(child, lifeline, stop, stop_grace))
            if started is not None:
                # Not awaited: it may wait for the children, and must not keep this from ending.
                threading.Thread(target=started, daemon=True, name="started").start()
    finally:
        os.close(lifeline)
        os.close(held_end)


async def _keep_running(child: Child, lifeline: int, stop: asyncio.Event, stop_grace: float) -> None:
    backoff = FIRST_BACKOFF_SECONDS
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        begun = loop.time()
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env={**child.environment, LIFELINE_VARIABLE: str(lifeline)},
            pass_fds=(lifeline, *child.inherited),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
        )
        await _first_of(process.wait(), stop.wait())
        if stop.is_set():
            await _end(child, process, stop_grace)
            return
        if loop.time() - begun > HEALTHY_SECONDS:
            backoff = FIRST_BACKOFF_SECONDS
        log.error("a process died; it is started again", process=child.name, status=process.returncode, wait=backoff)
        await _first_of(asyncio.sleep(backoff), stop.wait())
        backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)


async def _end(child: Child, process: asyncio.subprocess.Process, stop_grace: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(stop_grace + KILL_AFTER_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        log.error("a process did not end in time and is killed", process=child.name)  # noqa: TRY400
        process.kill()
        await process.wait()


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(item) for item in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
