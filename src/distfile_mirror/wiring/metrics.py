"""Where components without a port of their own tell their metrics.

With ``metrics_listen`` they have one. Else they write them every few seconds to a file in the data folder, and
the admin of the same folder, as in `serve`, tells them with its own.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
    write_to_textfile,
)

from distfile_mirror.config import Config, ConfigurationError

SUFFIX = ".prom"
WRITE_SECONDS = 3.0


@contextmanager
def told(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    """Tell the metrics of ``registry`` meanwhile. Raises ConfigurationError if the port cannot be had."""
    with ExitStack() as stack:
        if config.metrics_listen is not None:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            stack.enter_context(_served(config, registry))
        else:
            stack.enter_context(_written(config.run_dir / "metrics", registry))
        yield


@contextmanager
def _served(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    address = config.metrics_listen
    assert address is not None  # noqa: S101 - asked for
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise ConfigurationError(f"metrics_listen: cannot listen on {address}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
