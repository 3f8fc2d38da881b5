"""Jobs that block, done in a pool's threads one after the other while the next ones come."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class InOrder:
    """The jobs of one owner: never two at a time, in the order of their coming; no thread while there is none."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._is_working = False

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """Call ``function`` after all that were submitted before. One that is cancelled before it began is left out."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.append((function, future))
            begins, self._is_working = not self._is_working, True
        if begins:
            self._pool.submit(self._work)
        return future

    def _work(self) -> None:
        while job := self._next():
            function, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - it is raised where the job is waited for
                future.set_exception(error)
            else:
                future.set_result(result)

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._is_working = False
            return None
