"""Where components without a port of their own tell their metrics.

With ``metrics_listen`` they have one, which also says at ``/health`` whether they are alive. Else they write them
every few seconds to a file in the data folder, and the admin of the same folder, as in `serve`, tells them with
its own.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
    write_to_textfile,
)

from distfile_mirror.config import Config, ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SUFFIX = ".prom"
WRITE_SECONDS = 3.0
BEAT_SECONDS = 1.0
# An event loop that stood still for so long is not coming back.
HUNG_SECONDS = 60.0


class Pulse:
    """Tells whether the event loop that ``beat`` runs in goes on."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    async def beat(self) -> None:
        """Go on for ever, until cancelled."""
        while True:
            self._last = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def is_felt(self) -> bool:
        """Tell whether it was, within HUNG_SECONDS; from any thread."""
        return time.monotonic() - self._last < HUNG_SECONDS


@contextmanager
def told(config: Config, registry: CollectorRegistry, is_alive: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Tell the metrics of ``registry`` meanwhile. Raises ConfigurationError if the port cannot be had."""
    with ExitStack() as stack:
        if config.metrics_listen is not None:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            stack.enter_context(_served(config, registry, is_alive))
        else:
            stack.enter_context(_written(config.run_dir / "metrics", registry))
        yield


@contextmanager
def _served(config: Config, registry: CollectorRegistry, is_alive: Callable[[], bool]) -> Iterator[None]:
    address = config.metrics_listen
    assert address is not None  # noqa: S101 - asked for
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise ConfigurationError(f"metrics_listen: cannot listen on {address}: {error.strerror}") from None
    server.set_app(_with_health(server.get_app(), is_alive))
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _with_health(metrics: "WSGIApplication | None", is_alive: Callable[[], bool]) -> "WSGIApplication":
    assert metrics is not None  # noqa: S101 - the server has just been made with it

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            return metrics(environ, start_response)
        alive = is_alive()
        start_response("200 OK" if alive else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"alive\n" if alive else b"hanging: nothing has moved for a minute\n"]

    return answer


@contextmanager
def _written(folder: Path, registry: CollectorRegistry) -> Iterator[None]:
    path = folder / f"{os.getpid()}{SUFFIX}"
    stop = threading.Event()

    def write() -> None:
        while True:
            with suppress(OSError):  # of metrics nothing depends
                folder.mkdir(parents=True, exist_ok=True)
                write_to_textfile(str(path), registry)
            if stop.wait(WRITE_SECONDS):
                return

    thread = threading.Thread(target=write, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)
