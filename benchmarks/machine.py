"""Processes under measurement: pinned to a core, their CPU time read from the kernel."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SERVER_CORE = 0
CLIENT_CORE = 1
READY_SECONDS = 30.0


@contextmanager
def running(
    command: Sequence[str], *, core: int, port: int, environment: dict[str, str] | None = None
) -> Iterator[int]:
    """Run ``command`` on one core until the block ends; yields its process id once ``port`` answers."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        wait_for_port(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_port(port: int) -> None:
    """Return when something listens on loopback ``port``. Raises TimeoutError."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that ``pid`` and its descendants have used, all threads."""
    total = sum(_on_cpu(task) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return total + sum(cpu_seconds(child) for child in _children(pid))


def cpu_of(pid: int, work: Callable[[], object]) -> float:
    """Return the CPU seconds that ``pid`` and its descendants use while ``work`` runs."""
    before = cpu_seconds(pid)
    work()
    return cpu_seconds(pid) - before


def on_client_core(command: Sequence[str]) -> str:
    """Run ``command`` to its end on the clients' core; return its output. Raises CalledProcessError."""
    done = subprocess.run(
        ["taskset", "-c", str(CLIENT_CORE), *command], check=True, capture_output=True, text=True, timeout=300
    )
    return done.stdout


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _on_cpu(schedstat: Path) -> float:
    with suppress(OSError):
        return int(schedstat.read_text().split()[0]) / 1e9
    return 0.0
