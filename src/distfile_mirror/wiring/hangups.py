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

# None: of a process that has a supervisor, which hears SIGHUP for all.
Reread = Callable[[], Config] | None

log = structlog.get_logger()


def is_on_terminal() -> bool:
    """Tell whether somebody started this process on a terminal, and may close it."""
    return sys.stdin is not None and sys.stdin.isatty()


class Hangups:
    """Hears SIGHUP: ``stop`` is called where ``reread`` finds a configuration that can be used.

    Without ``reread`` it hears nothing.
    """

    def __init__(self, reread: Reread, stop: Callable[[], object]) -> None:
        self.heard = False
        self._reread = reread
        self._stop = stop

    def listen(self) -> None:
        """Hear from now on; to be called in the main thread."""
        if self._reread is not None and not is_on_terminal():
            signal.signal(signal.SIGHUP, lambda _number, _frame: self._hear())

    def begin_anew_if_heard(self, *more_arguments: str) -> None:
        """Become a new run of the same command, if SIGHUP came; ``more_arguments`` unless it has them already."""
        if not self.heard:
            return
        arguments = sys.orig_argv[1:]
        if more_arguments and more_arguments[0] not in arguments:
            arguments = [*arguments, *more_arguments]
        log.info("beginning anew")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - this very command

    def _hear(self) -> None:
        assert self._reread is not None  # noqa: S101 - else it is not listened for
        try:
            self._reread()
        except ConfigurationError as error:
            log.error("the configuration cannot be used; nothing changed", reason=str(error))  # noqa: TRY400
            return
        self.heard = True
        self._stop()
