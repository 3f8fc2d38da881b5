"""Digests of content as registries write them: ``algorithm:hex`` (OCI image specification, Descriptors)."""

import hashlib
import re
from dataclasses import dataclass

# The algorithms that the specification registers.
HEX_DIGITS = {"sha256": 64, "sha512": 128}

_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[.+_-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)")


@dataclass(frozen=True, slots=True)
class Digest:
    """What identifies content. ``hex`` in lower case."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_digest(text: str) -> Digest:
    """Read a digest.

    Raises:
        ValueError: saying what is wrong with ``text``.
    """
    match = _DIGEST.fullmatch(text)
    if not match:
        message = f"{text!r} is not a digest; write sha256: and 64 hexadecimal digits"
        raise ValueError(message)
    algorithm, encoded = match["algorithm"], match["encoded"]
    if algorithm not in HEX_DIGITS:
        message = f"{text!r} has the algorithm {algorithm!r}; registries use {' and '.join(HEX_DIGITS)}"
        raise ValueError(message)
    if len(encoded) != HEX_DIGITS[algorithm] or not set(encoded) <= set("0123456789abcdef"):
        message = (
            f"{text!r} is not a digest: after {algorithm}: come {HEX_DIGITS[algorithm]} lower-case hexadecimal digits"
        )
        raise ValueError(message)
    return Digest(algorithm, encoded)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """Compute the digest of ``content``."""
    return Digest(algorithm, getattr(hashlib, algorithm)(content, usedforsecurity=False).hexdigest())
