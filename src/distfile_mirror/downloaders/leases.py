"""Which leases are to be renewed now, and what progress is news. No I/O and no clock."""

from collections.abc import Iterable, Mapping

from distfile_mirror.catalog.leases import Progress
from distfile_mirror.downloaders.blob_sink import Meter

REPORT_SECONDS = 1.0
_RENEWALS = 3


class Leases:
    """Remembers of each claimed row when its lease was renewed, and what progress was reported."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._renew_after = lease / _RENEWALS
        self._reported: dict[int, tuple[float, Progress]] = {}

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return min(REPORT_SECONDS, self._renew_after / 2)

    def claimed(self, row_ids: Iterable[int], now: float) -> None:
        """These rows were leased at ``now``."""
        for row_id in row_ids:
            self._reported[row_id] = now, Progress(0, None)

    def taken_away(self, row_ids: Iterable[int]) -> None:
        """Others have these rows by now."""
        for row_id in row_ids:
            if row_id in self._reported:
                self._reported[row_id] = float("-inf"), self._reported[row_id][1]

    def finished(self, row_id: int) -> None:
        """The row's lease is of no interest any more."""
        self._reported.pop(row_id, None)

    def has_lost(self, row_id: int, now: float) -> bool:
        """Tell whether another may have the row at ``now``, because its lease could not be renewed in time."""
        known = self._reported.get(row_id)
        return known is not None and now - known[0] >= self._lease

    def lost(self, now: float) -> list[int]:
        """Return the rows that others may have at ``now``."""
        return [row_id for row_id in self._reported if self.has_lost(row_id, now)]

    def due(self, active: Mapping[int, Meter], now: float) -> dict[int, Progress]:
        """Return what to report at ``now``: what has moved, and what was not renewed for a third of the lease."""
        found = {}
        for row_id, (renewed_at, last) in self._reported.items():
            if self.has_lost(row_id, now):  # or this one would have it again, while another is at it
                continue
            meter = active.get(row_id)
            at = Progress(meter.received_bytes, meter.total_bytes) if meter else last
            if at != last or now - renewed_at >= self._renew_after:
                found[row_id] = at
        return found

    def renewed(self, progress: Mapping[int, Progress], now: float) -> None:
        """These were reported at ``now``; rows that finished meanwhile are ignored."""
        for row_id, at in progress.items():
            if row_id in self._reported:
                self._reported[row_id] = now, at
