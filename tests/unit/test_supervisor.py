"""Real processes, kept running and ended in order."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SUPERVISE = """
import sys
from distfile_mirror.supervisor import Child, supervise
child = compile(sys.argv[1], "child", "exec")
supervise(
    [Child("child", lambda: exec(child, {}))],
    stop_grace=float(sys.argv[2]),
    started=lambda: print("started", flush=True),
)
"""
CHILD = """
import os, sys, time, signal
with open({log!r}, "a") as log:
    print(os.getpid(), file=log)
"""


class Supervised:
    def __init__(self, folder, then, grace=5):
        self.log = folder / "pids"
        self.log.touch()
        child = textwrap.dedent(CHILD).format(log=str(self.log)) + textwrap.dedent(then)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, child, str(grace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def pids(self, count):
        """Wait until so many children have been started, and return their process ids."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            found = [int(line) for line in self.log.read_text().split()]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"only {len(found)} children were started")


def gone(pid):
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def supervised(tmp_path):
    started = []

    def start(then, **options):
        started.append(Supervised(tmp_path, then, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_what_dies_is_started_again(supervised):
    running = supervised("time.sleep(60)")
    (first,) = running.pids(1)
    os.kill(first, signal.SIGKILL)
    second = running.pids(2)[1]
    os.kill(second, signal.SIGKILL)
    assert running.pids(3)[2]
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert b"a process died" in running.process.stdout.read()


def test_what_dies_at_once_is_started_ever_more_slowly(supervised):
    running = supervised("")
    begun = time.monotonic()
    running.pids(4)  # after 0.2, 0.4 and 0.8 seconds
    assert time.monotonic() - begun > 1.4
    running.process.terminate()
    assert running.process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_forwarded_and_awaited(supervised, tmp_path, number):
    note = tmp_path / "note"
    running = supervised(
        f"""
        def end(*_):
            time.sleep(0.3)
            open({str(note)!r}, "w").write("in order")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    assert running.process.stdout.readline()
    assert running.process.stdout.readline()
    running.process.send_signal(number)
    assert running.process.wait(10) == 0
    assert note.read_text() == "in order"


def test_what_does_not_end_is_killed(supervised):
    running = supervised(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\ntime.sleep(60)", grace=-4.8
    )
    (pid,) = running.pids(1)
    running.process.stdout.readline()
    running.process.stdout.readline()
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert gone(pid)


def test_children_end_with_a_supervisor_that_is_killed(supervised):
    running = supervised("time.sleep(60)")
    (pid,) = running.pids(1)
    running.process.kill()
    assert gone(pid)
