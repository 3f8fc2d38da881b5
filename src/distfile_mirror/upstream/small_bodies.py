"""Bodies small enough to be held in memory: manifests, tokens, lists."""

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.upstream.settings import Head


class SmallBody:
    """An upstream Sink that keeps at most ``max_bytes``; ``what`` names the content in messages."""

    def __init__(self, what: str, max_bytes: int) -> None:
        self._what = what
        self._max_bytes = max_bytes
        self._pieces: list[bytes | memoryview] = []
        self._size = 0

    async def start(self, head: Head) -> None:
        """See Sink.start."""
        self._pieces, self._size = [], 0
        if (head.content_length or 0) > self._max_bytes:
            raise self._too_large(f"has {head.content_length} bytes")

    def write(self, data: bytes | memoryview) -> bool:
        """See Sink.write."""
        self._pieces.append(data)
        self._size += len(data)
        return self._size > self._max_bytes

    async def drain(self) -> None:
        """See Sink.drain."""
        raise self._too_large("has more bytes than that")

    @property
    def content(self) -> bytes:
        """All that came."""
        return b"".join(self._pieces)

    def _too_large(self, found: str) -> PermanentFetchError:
        return PermanentFetchError(f"{self._what} {found}; at most {self._max_bytes} are accepted")
