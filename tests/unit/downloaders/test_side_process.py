"""The side process of a process that does nothing else: the tests' own has threads."""

import subprocess
import sys
import textwrap

BEGIN = """
import os, signal, sys, threading, time
from distfile_mirror.downloaders.side_process import side_process
from distfile_mirror.errors import InvalidInputError, UnavailableError

def pid():
    return os.getpid()

def away():
    raise UnavailableError("the database does not answer")

def invalid():
    raise InvalidInputError({"uri": ["is none"]})

def local():
    return lambda: None

def at_length():
    time.sleep(30)

def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False

def wait_until_gone(pid):
    until = time.monotonic() + 10
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_there(pid)
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout.split("\n")[:-1]


def test_what_is_called_happens_in_another_process_and_comes_back():
    assert run(
        """
        with side_process("tests: side process") as callers:
            there = {callers.catalog(pid), callers.blobs(pid)}
            with open(f"/proc/{callers.blobs(pid)}/cmdline") as file:
                print(file.read().rstrip("\\0"))
        print(len(there), pid() in there, any(map(is_there, there)))
        """
    ) == ["distfile-mirror tests: side process", "1 False False"]


def test_what_is_raised_there_is_raised_here_with_a_note_of_where():
    told = run(
        """
        with side_process("tests") as callers:
            try:
                callers.catalog(away)
            except UnavailableError as error:
                print(error, "in away" in error.__notes__[0], sep="\\n")
        """
    )
    assert told == ["the database does not answer", "True"]


def test_what_cannot_be_sent_is_an_error_that_says_so_and_not_the_end():
    told = run(
        """
        with side_process("tests") as callers:
            for function in (local, invalid):
                try:
                    callers.catalog(function)
                except Exception as error:
                    print(type(error).__name__, "local" in str(error) or "uri: is none" in str(error))
            print(callers.catalog(pid) != pid())
        """
    )
    assert [line.split()[1] for line in told[:2]] == ["True", "True"]
    assert told[2] == "True"


def test_one_line_does_not_wait_for_the_other():
    assert run(
        """
        with side_process("tests") as callers:
            thread = threading.Thread(target=callers.blobs, args=(at_length,), daemon=True)
            thread.start()
            there = callers.catalog(pid)
            print(there != pid(), thread.is_alive(), flush=True)
            os.kill(there, signal.SIGKILL)
            os._exit(0)
        """
    ) == ["True True"]


def test_when_it_is_killed_its_work_is_done_here():
    told = run(
        """
        with side_process("tests") as callers:
            there = callers.catalog(pid)
            os.kill(there, signal.SIGKILL)
            print(callers.catalog(pid) == pid(), callers.blobs(pid) == pid(), callers.blobs(pid) == pid())
        """
    )
    assert told[-1] == "True True True"
    assert sum("the side process has ended" in line for line in told) == 2


def test_it_is_not_ended_by_who_ends_a_whole_group():
    assert run(
        """
        with side_process("tests") as callers:
            there = callers.catalog(pid)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(there, number)
            print(callers.catalog(pid) == there)
        """
    ) == ["True"]


def test_it_ends_with_its_downloader_even_in_the_middle():
    assert run(
        """
        from distfile_mirror.forks import Lifeline, fork
        reading, writing = os.pipe()

        def be_killed():
            with side_process("tests") as callers:
                os.write(writing, str(callers.catalog(pid)).encode())
                callers.catalog(at_length)

        child = os.fork()
        if not child:
            be_killed()
        there = int(os.read(reading, 20))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(wait_until_gone(there))
        """
    ) == ["True"]


def test_a_call_that_was_under_way_when_it_was_killed_is_made_here():
    told = run(
        """
        here = pid()
        def briefly():
            if pid() != here:
                os.kill(pid(), signal.SIGKILL)
            return pid()

        with side_process("tests") as callers:
            print(callers.catalog(briefly) == here)
        """
    )
    assert told[-1] == "True"


def test_a_thread_there_that_fails_does_not_leave_the_caller_waiting():
    told = run(
        """
        here = pid()
        class Hopeless(Exception):
            def add_note(self, note):
                raise MemoryError

        def hopeless():
            if pid() != here:
                raise Hopeless
            return pid()

        threading.excepthook = lambda _: None
        with side_process("tests") as callers:
            print(callers.catalog(hopeless) == here, callers.blobs(pid) != here)
        """
    )
    assert told[-1] == "True True"


def test_without_room_for_another_process_all_is_done_here():
    told = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
        with side_process("tests") as callers:
            print(callers.catalog(pid) == callers.blobs(pid) == pid())
        print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        """
    )
    assert told[-2:] == ["True", "set()"]


def test_who_ignores_the_end_of_children_is_no_obstacle():
    assert run(
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with side_process("tests") as callers:
            print(callers.catalog(pid) != pid())
        print("ended")
        """
    ) == ["True", "ended"]
