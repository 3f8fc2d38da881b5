"""What a person may set about downloading, and what a run of it gives back."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Limits of one downloader. Times in seconds.

    ``backoff``: before the second attempt, doubled each time up to ``max_backoff``. ``lease``: after
    which a downloader that went silent loses its rows. ``poll``: between looks for new rows.
    ``stop_grace``: what downloads under way get to finish. ``storage_pause``: before anything new is
    begun after the blob store failed. ``concurrency_per_image``: layers of one image.
    """

    concurrency: int = 32
    concurrency_per_host: int = 8
    concurrency_per_image: int = 4
    max_attempts: int = 12
    backoff: float = 2
    max_backoff: float = 3600
    lease: float = 30
    poll: float = 0.5
    stop_grace: float = 10
    storage_pause: float = 5


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How upstreams are asked after stored files. ``seconds`` between two questions, 0: never.

    ``again_after``: between the beginnings of two rounds through all files.
    """

    seconds: float
    again_after: timedelta


NO_CHECKS = CheckSettings(0, timedelta(0))


@dataclass(frozen=True, slots=True)
class Summary:
    """How many downloads ended how: stored, failed for good, to be tried again later, interrupted."""

    fetched: int = 0
    failed: int = 0
    to_be_retried: int = 0
    released: int = 0
