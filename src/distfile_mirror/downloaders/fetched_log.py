"""Tells of fetched files.

Many small ones are stored together, and are told of together: a line costs a tenth of what a small file does.
"""

import asyncio
from contextvars import Context

import structlog

log = structlog.get_logger()


class FetchedLog:
    """Writes one line for the files that are fetched within one turn of the loop."""

    def __init__(self) -> None:
        self._files: list[dict[str, object]] = []

    def add(self, uri: str, size: int, seconds: float) -> None:
        """Note a file of ``size`` bytes that took so long; the line is written in the next turn of the loop."""
        if not self._files:
            asyncio.get_running_loop().call_soon(self._write, context=Context())
        ids = structlog.contextvars.get_contextvars()
        self._files.append({"uri": uri, "bytes": size, "seconds": round(seconds, 3), **ids})

    def _write(self) -> None:
        files, self._files = self._files, []
        if len(files) == 1:
            log.info("fetched", **files[0])
        else:
            log.info("fetched", count=len(files), files=files)
