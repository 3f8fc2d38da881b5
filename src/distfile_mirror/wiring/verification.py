"""Reading stored blobs again."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from datetime import timedelta

from distfile_mirror.catalog import care, damage, rounds
from distfile_mirror.catalog.rounds import Going
from distfile_mirror.config import Config
from distfile_mirror.errors import MirrorError
from distfile_mirror.supervisor import tell_ready
from distfile_mirror.verifier.metrics import REGISTRY
from distfile_mirror.verifier.verify import Summary, Verifier
from distfile_mirror.wiring.hangups import ENDS, Hangups, Reread
from distfile_mirror.wiring.metrics import told
from distfile_mirror.wiring.storage import open_blob_store


def run(
    config: Config, *, watch: bool, start_over: bool, reread: Reread, progress: Callable[[Going], object]
) -> tuple[Summary, int]:
    """Verify until all is read, or with ``watch`` until SIGTERM; Django must be configured.

    Returns what was done, and how many blobs are damaged now. Raises MirrorError.
    """
    if not care.is_ready():
        raise MirrorError("the database is not of this release: run `distfile-mirror migrate`")
    stop = threading.Event()
    hangups = Hangups(reread, stop.set)
    for number in ENDS:
        signal.signal(number, lambda _number, _frame: hangups.end())
    hangups.listen()
    if start_over:
        rounds.start_over(rounds.BLOBS)
    verifier = Verifier(
        open_blob_store(config),
        owner=f"{socket.gethostname()}:{os.getpid()}",
        bytes_per_second=config.verify_rate,
        # Who asks for it once wants it now.
        again_after=timedelta(seconds=config.verify_period if watch else 0),
        stop=stop,
        progress=progress,
    )
    tell_ready()
    summary = Summary()
    with told(config, REGISTRY):
        if watch:
            verifier.watch()
        else:
            summary = verifier.run()
    hangups.begin_anew_if_heard()
    return summary, sum(damage.count_damaged().values())
