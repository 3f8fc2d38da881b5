"""What a person may set about outbound traffic, and what a fetch gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distfile_mirror.model.addresses import ConnectTo, IPNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """Limits and routes of outbound traffic. Times in seconds, sizes in bytes.

    ``connect_timeout``: name look-up, connection and TLS. ``stall_timeout``: the time in which at least
    ``stall_bytes`` must come. ``total_timeout``: one URI, resumes included. ``upstream_ca``: a PEM
    file of CAs that are trusted beside the usual ones.
    """

    allow_network: tuple[IPNetwork, ...] = ()
    connect_to: tuple[ConnectTo, ...] = ()
    upstream_ca: Path | None = None
    connect_timeout: float = 30
    stall_timeout: float = 60
    stall_bytes: int = 4096
    total_timeout: float = 6 * 3600
    max_bytes: int = 64 << 30


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer. ``headers`` are looked up without regard to case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    final_uri: str

    def values(self, name: str) -> list[str]:
        """Return every value of the field ``name``, which may come more than once."""
        return [value for found, value in self.headers.items() if found.lower() == name.lower()]

    @property
    def content_length(self) -> int | None:
        """The length that was announced, in bytes, or None."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() and text.isascii() else None

    @property
    def is_chunked(self) -> bool:
        """Tell whether the body marks its own end (RFC 9112, 7.1)."""
        return self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"

    @property
    def ends_by_close(self) -> bool:
        """Tell whether only the end of the connection ends the body (RFC 9112, 6.3, item 8)."""
        return self.content_length is None and not self.is_chunked


class Sink(Protocol):
    """Where the bytes of a file go."""

    async def start(self, head: Head) -> None:
        """Begin, or begin anew: what was written before is void. Raises StorageError, PermanentFetchError."""

    def write(self, data: bytes | memoryview) -> bool:
        """Take the next bytes; True asks for a drain before more of them."""

    async def drain(self) -> None:
        """Return when more bytes may come. Raises StorageError, PermanentFetchError."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole body has gone into the sink. ``head`` is that of the answer that began it; ``size`` in bytes.

    ``resumed``: it came in parts, of several answers.
    """

    head: Head
    size: int
    resumed: bool = False
