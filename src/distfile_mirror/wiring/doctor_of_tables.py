"""What `doctor` finds in the tables of the catalog: who may administer, what waits, what is damaged."""

from contextlib import suppress
from datetime import timedelta

from django.utils import timezone

from distfile_mirror.admin import people
from distfile_mirror.admin.queries import backlog
from distfile_mirror.catalog import care, care_listing, damage, rounds
from distfile_mirror.catalog.listing import count_by_state
from distfile_mirror.catalog.models import File, Image
from distfile_mirror.config import Config
from distfile_mirror.errors import UnavailableError
from distfile_mirror.model.states import State
from distfile_mirror.wiring.findings import Found, Level

# What is due for longer than this is waited for in vain.
LONG_DUE = timedelta(minutes=15)


def administrators(config: Config) -> Found:
    """See doctor.examine. Whoever may not read who there is, such as a downloader, is not told."""
    if config.sign_in != ("accounts",):  # others bring their roles with them
        return
    with suppress(UnavailableError):
        if not people.administrators():
            yield Level.WARNING, "there is none yet: run `distfile-mirror users add NAME --role administrator`"


def downloads(_config: Config) -> Found:
    """See doctor.examine."""
    failed = count_by_state(File)[State.FAILED] + count_by_state(Image)[State.FAILED]
    if failed:
        yield Level.WARNING, f"{failed} failed, and wait for a person: `distfile-mirror list --state failed`"
    else:
        yield Level.FINE, "none failed"
    for kind, component in ((File, "cron-download-files"), (Image, "cron-download-containers")):
        waiting = backlog(kind)
        if waiting.oldest_seconds > LONG_DUE.total_seconds():
            minutes = round(waiting.oldest_seconds / 60)
            yield Level.WARNING, f"{waiting.rows} are due, the oldest for {minutes} minutes: is {component} at work?"


def stored_bytes(config: Config) -> Found:
    """See doctor.examine."""
    if not care.is_ready():
        return
    damaged = sum(damage.count_damaged().values())
    if damaged:
        newest = care_listing.worries().damaged[0]
        yield Level.BROKEN, f"{damaged} blobs are damaged and not served; the latest: {newest.sha256}, {newest.message}"
    row = rounds.get_round(rounds.BLOBS)
    if row is None or row.finished_at is None:
        yield Level.WARNING, "they were never read again as a whole: let `distfile-mirror verify` run"
    elif timezone.now() - row.finished_at > 2 * timedelta(seconds=config.verify_period):
        yield Level.WARNING, f"they were last read again {row.finished_at:%Y-%m-%d}: let `distfile-mirror verify` run"
    else:
        yield Level.FINE, f"all were read again and compared by {row.finished_at:%Y-%m-%d}"


ASK_TABLES = (administrators, downloads, stored_bytes)
