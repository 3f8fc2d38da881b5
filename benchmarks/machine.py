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
COMMAND_SECONDS = 600.0
LOG_TAIL_BYTES = 2000


class FailedToRunError(Exception):
    """A server or a client that is measured did not do what it had to."""


@contextmanager
def running(command: Sequence[str], *, core: int, port: int, log: Path) -> Iterator[int]:
    """Run ``command`` on one core until the block ends; yields its process id once ``port`` answers."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            pinned(core, command), stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=clean_environment()
        )
    try:
        _wait_for_port(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def on_core(core: int, command: Sequence[str], *, given: str = "") -> str:
    """Run ``command`` to its end on one core; return its output. Raises FailedToRunError."""
    return on_any_core(pinned(core, command), given=given)


def on_any_core(command: Sequence[str], *, given: str = "") -> str:
    """Run ``command`` to its end wherever there is room; return its output. Raises FailedToRunError."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        input=given,
        timeout=COMMAND_SECONDS,
        env=clean_environment(),
    )
    if done.returncode:
        raise FailedToRunError(
            f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stderr[-LOG_TAIL_BYTES:]}"
        )
    return done.stdout


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """Return ``command`` so that it runs on ``core`` only, with all its children."""
    return ["taskset", "--cpu-list", str(core), *command]


def clean_environment() -> dict[str, str]:
    """Return the environment without what would configure the mirror, or lead clients elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DISTFILE_MIRROR_") and not name.lower().endswith("_proxy")
    }


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def cpu_of(pid: int, work: Callable[[], object]) -> float:
    """Return the CPU seconds that ``pid`` and its descendants use while ``work`` runs."""
    before = _cpu_seconds(pid)
    work()
    return _cpu_seconds(pid) - before


def wall_of(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
    raise FailedToRunError(f"nothing came to listen on port {port}; {log.name} says:\n{tail}")


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time that ``pid`` and its descendants have used, all threads."""
    total = sum(_on_cpu(task) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return total + sum(_cpu_seconds(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _on_cpu(schedstat: Path) -> float:
    with suppress(OSError):
        return int(schedstat.read_text().split()[0]) / 1e9
    return 0.0
