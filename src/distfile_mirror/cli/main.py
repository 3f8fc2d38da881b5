"""The program's first lines: SIGHUP is held back before anything is imported that takes its time."""

import sys

from distfile_mirror.wiring.early_hangups import hold_back, is_on_terminal

# They listen for SIGHUP once they are up (wiring.hangups, supervisor).
LISTENING = frozenset({"serve", "web-proxy", "web-admin", "cron-download-files", "cron-download-containers", "verify"})


def main() -> None:
    """Run the program; see ``cli.app.run``."""
    if not LISTENING.isdisjoint(sys.argv[1:2]) and not is_on_terminal():
        hold_back()
    from distfile_mirror.cli.app import run

    run()
