"""SIGHUP to a process that nobody supervises: it finishes what is under way and begins anew, under the same number.

What it reads at its start (configuration, credentials, CAs) is read again. A wrong configuration is told, and changes
nothing. On a terminal SIGHUP says that the terminal was closed, and ends the process as ever.
"""

import os
import signal
import sys
from collections.abc import Callable

import structlog

from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.wiring.early_hangups import hold_back, is_on_terminal

ENDS = (signal.SIGTERM, signal.SIGINT)
# None: of a process that has a supervisor, which hears SIGHUP for all.
Reread = Callable[[], Config] | None

log = structlog.get_logger()


class Hangups:
    """Hears SIGHUP: ``stop`` is called where ``reread`` finds a configuration that can be used.

    Without ``reread`` it hears nothing. SIGTERM and SIGINT are the caller's to hear, who calls ``end`` then.
    """

    def __init__(self, reread: Reread, stop: Callable[[], object]) -> None:
        self.heard = False
        self._has_ended = False
        self._is_reading = False
        self._came_again = False
        self._reread = reread
        self._stop = stop

    def listen(self) -> None:
        """Hear from now on; to be called in the main thread, once SIGTERM and SIGINT are heard."""
        if self._reread is not None and not is_on_terminal():
            signal.signal(signal.SIGHUP, lambda _number, _frame: self._hear())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, *ENDS})

    def end(self) -> None:
        """Stop for good, also where SIGHUP came before: nothing begins anew then."""
        self._has_ended = True
        self._stop()

    def leave_the_rest(self) -> None:
        """Let what comes from now on wait for the new run, if there will be one."""
        if self.heard:
            hold_back(*ENDS)

    def begin_anew_if_heard(self, **flags: str) -> None:
        """Become a new run of the same command, if SIGHUP came; with ``flags`` in the place of those it has."""
        self.leave_the_rest()
        if not self.heard or self._has_ended:
            return
        hold_back()
        arguments = sys.orig_argv[1:]
        for name, value in flags.items():
            arguments = [*(each for each in arguments if not each.startswith(f"--{name}=")), f"--{name}={value}"]
        log.info("beginning anew")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - this very command

    def _hear(self) -> None:
        """Read at once, unless that is what this interrupts: then again, when it is done."""
        self._came_again = True
        if self._is_reading:
            return
        self._is_reading = True
        while self._came_again and not self.heard:
            self._came_again = False
            self._read()
        self._is_reading = False

    def _read(self) -> None:
        assert self._reread is not None  # noqa: S101 - else it is not listened for
        try:
            self._reread()
        except ConfigurationError as error:
            log.error("the configuration cannot be used; nothing changed", reason=str(error))  # noqa: TRY400
            return
        self.heard = True
        self._stop()
