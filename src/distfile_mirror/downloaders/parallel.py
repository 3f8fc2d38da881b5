"""Several things at once, of which each must work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_parallel(function: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_once: int) -> list[R]:
    """Return what ``function`` gives for each of ``items``, in their order, with so many ``at_once``.

    The first error cancels all others and is raised.
    """
    room = asyncio.Semaphore(at_once)

    async def run(item: T) -> R:
        async with room:
            return await function(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(item)) for item in items]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
