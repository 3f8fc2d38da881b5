"""Forks, in a process that does nothing else: the tests' own has threads."""

import signal
import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import os, signal, sys, time
from distfile_mirror.forks import Lifeline, begin_apart, fork
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(75)", 75),
        ("sys.exit('no')", 1),
        ("from distfile_mirror.errors import ConflictError; raise ConflictError('two of them')", 1),
        ("open('/nowhere/at/all')", 1),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), 9)", -9),
    ],
)
def test_the_status_says_how_it_ended(code, status):
    done = run(f"print(begin_apart(lambda: exec({code!r}))())")
    assert done.stdout.splitlines()[-1] == str(status)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise MirrorError('two of them')", "distfile-mirror: two of them\n"),
        ("open('/nowhere/at/all')", "distfile-mirror: No such file or directory: /nowhere/at/all\n"),
    ],
)
def test_what_went_wrong_is_told_in_a_line(code, told):
    done = run(f"from distfile_mirror.errors import MirrorError\nbegin_apart(lambda: exec({code!r}))()")
    assert done.stderr == told
    assert not done.stdout


def test_what_is_a_fault_of_ours_is_logged_with_where_it_was():
    assert "ZeroDivisionError" in run("begin_apart(lambda: 1 / 0)()").stdout


def test_nothing_that_the_parent_began_is_ended_twice():
    done = run(
        """
        import atexit
        atexit.register(print, "the end")
        print("begun")
        try:
            begin_apart(lambda: print("apart"))()
        finally:
            print("cleaned up")
        """
    )
    assert done.stdout.split("\n") == ["begun", "apart", "cleaned up", "the end", ""]


def test_a_fork_has_its_own_signals_session_name_and_input():
    done = run(
        """
        signal.signal(signal.SIGTERM, lambda *_: print("the parent's"))
        def be():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            assert os.getsid(0) == os.getpid()
            assert os.read(0, 1) == b""
            print(open("/proc/self/cmdline").read().rstrip("\\0"), flush=True)
        pid = fork("of a test", be, Lifeline())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert done.stdout == "distfile-mirror of a test\n0\n", done.stderr


def test_a_fork_does_not_hold_sighup_back_as_its_parent_does():
    done = run(
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        def be():
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            os.kill(os.getpid(), signal.SIGHUP)  # which who forked it hears for all
        pid = fork("of a test", be, Lifeline())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), begin_apart(be)())
        print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGHUP})
        """
    )
    assert done.stdout == "0 0\nTrue\n", done.stderr


def test_a_fork_ends_when_who_forked_it_is_gone():
    code = "fork('of a test', lambda: time.sleep(60), Lifeline()); os.kill(os.getpid(), 9)"
    # It has the same standard output: this returns when both are gone.
    assert run(code).returncode == -signal.SIGKILL


def test_a_signal_to_a_fork_is_none_to_the_loop_of_its_parent():
    done = run(
        """
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            heard = []
            loop.add_signal_handler(signal.SIGTERM, heard.append, "told")
            for _ in range(20):
                pid = fork("of a test", lambda: time.sleep(60), Lifeline())
                os.kill(pid, signal.SIGTERM)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), end=" ")
            await asyncio.sleep(0.1)
            print(heard)
        asyncio.run(main())
        """
    )
    assert done.stdout == "-15 " * 20 + "[]\n", done.stderr


def test_closed_descriptors_do_no_harm():
    code = "import os, sys; sys.exit(begin_apart(lambda: os.read(0, 1) and sys.exit(2))())"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, BEGIN + code], timeout=30, check=False
    )
    assert done.returncode == 0


def test_a_fork_that_fails_leaves_signals_as_they_were():
    done = run(
        """
        os.fork = lambda: os.read(-1, 1)
        try:
            begin_apart(lambda: None)
        except OSError:
            print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        """
    )
    assert done.stdout == "set()\n"
