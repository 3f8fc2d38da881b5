"""The digests of a body without its Content-Encoding, for upstreams that encode although nobody asked.

Bytes are decoded a little at a time and thrown away: only their digests are wanted, and a small
body may decode to a huge one.
"""

import zlib
from collections.abc import Iterable, Mapping

from distfile_mirror.model.checksums import Hasher

_STEP_BYTES = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS
_CODINGS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


class DecodedDigests:
    """Decodes the stream ``coding`` (one that is_known) up to ``max_bytes``, hashing what comes out."""

    def __init__(self, coding: str, algorithms: Iterable[str], max_bytes: int) -> None:
        self._window = _CODINGS[coding]
        self._hasher = Hasher(algorithms)
        self._left = max_bytes
        self._inflate = zlib.decompressobj(self._window)
        self._begun = False
        self._readable = True

    @staticmethod
    def is_known(coding: str) -> bool:
        """Tell whether ``coding`` (lower case) can be decoded here."""
        return coding in _CODINGS

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the encoded stream; what cannot be decoded ends it quietly."""
        while data and self._readable:
            try:
                data = self._step(data)
            except zlib.error:
                # RFC 9110, 8.4.1.2: some servers send "deflate" without its zlib wrapping.
                self._readable = not self._begun and self._window == zlib.MAX_WBITS
                self._window = -zlib.MAX_WBITS
                self._inflate = zlib.decompressobj(self._window)

    def hex_digests(self) -> Mapping[str, str]:
        """Return algorithm -> hex of the decoded bytes; empty if they could not be decoded to their end."""
        return self._hasher.hex_digests() if self._readable and self._inflate.eof else {}

    def _step(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._inflate.eof:  # RFC 1952, 2.2: several gzip members make one file
            self._inflate = zlib.decompressobj(self._window)
        full = True
        while full and self._readable:
            decoded = self._inflate.decompress(data, _STEP_BYTES)
            self._begun = True
            self._left -= len(decoded)
            self._readable = self._left >= 0
            self._hasher.update(decoded)
            data = self._inflate.unconsumed_tail
            # A full step may have left bytes inside, even with no input left.
            full = len(decoded) == _STEP_BYTES and not self._inflate.eof
        return self._inflate.unused_data if self._inflate.eof else data
