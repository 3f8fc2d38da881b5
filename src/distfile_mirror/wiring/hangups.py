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

# None: of a process that has a supervisor, which hears SIGHUP for all.
Reread = Callable[[], Config] | None

log = structlog.get_logger()


class Hangups:
    """Hears SIGHUP: ``stop`` is called where ``reread`` finds a configuration that can be used.

    Without ``reread`` it hears nothing.
    """

    def __init__(self, reread: Reread, stop: Callable[[], object]) -> None:
        self.heard = False
        self._is_reading = False
        self._came_again = False
        self._reread = reread
        self._stop = stop

    def listen(self) -> None:
        """Hear from now on; to be called in the main thread."""
        if self._reread is not None and not is_on_terminal():
            signal.signal(signal.SIGHUP, lambda _number, _frame: self._hear())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def begin_anew_if_heard(self, **flags: str) -> None:
        """Become a new run of the same command, if SIGHUP came; with ``flags`` in the place of those it has."""
        if not self.heard:
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
