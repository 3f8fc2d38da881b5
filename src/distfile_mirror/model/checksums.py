"""Checksums as people have them: ``sha256:<hex>``, bare hex, and Subresource Integrity.

A checksum is held as algorithm and lower-case hexadecimal. Weak ones (md5, sha1) are accepted,
because that is all that some upstreams publish, but a file known by them alone is told apart.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

# Digest lengths in bytes, strongest first: the order in which checksums are listed.
DIGEST_BYTES: dict[str, int] = {"sha512": 64, "sha384": 48, "sha256": 32, "sha1": 20, "md5": 16}
WEAK_ALGORITHMS = frozenset({"sha1", "md5"})

_ALGORITHM_BY_HEX_LENGTH = {2 * size: name for name, size in DIGEST_BYTES.items()}
_EXAMPLES = "sha256:<64 hexadecimal digits> or sha512-<base64>"


class ChecksumStrength(StrEnum):
    """How far the expected checksums of a file identify its bytes."""

    STRONG = "strong"
    WEAK = "weak"
    NONE = "none"


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """One digest: ``algorithm`` is a key of DIGEST_BYTES, ``hex`` its lower-case digits."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_checksum(text: str) -> Checksum:
    """Read one checksum.

    Takes ``algorithm:hex``, ``algorithm=hex``, bare hex (the length tells the algorithm) and one
    hash of Subresource Integrity, ``algorithm-base64`` with its options ignored (W3C SRI, 3.5).

    Raises:
        ValueError: saying what is wrong with ``text``.
    """
    text = text.strip()
    # First, since the padding of base64 looks like algorithm=hex.
    if match := re.fullmatch(r"(sha[0-9]+)-([A-Za-z0-9+/_=-]+)(\?.*)?", text):
        return _from_sri(match[1], match[2], text)
    if match := re.fullmatch(r"([A-Za-z0-9-]+)[:=]([0-9A-Fa-f]*)", text):
        return _from_hex(match[1].lower().replace("-", ""), match[2].lower(), text)
    if re.fullmatch(r"[0-9A-Fa-f]+", text):
        algorithm = _ALGORITHM_BY_HEX_LENGTH.get(len(text))
        if algorithm:
            return Checksum(algorithm, text.lower())
        message = f"{text!r} has {len(text)} digits, which no known algorithm has; write {_EXAMPLES}"
        raise ValueError(message)
    message = f"{text!r} is not a checksum; write {_EXAMPLES}"
    raise ValueError(message)


def _from_hex(algorithm: str, digits: str, text: str) -> Checksum:
    size = _digest_bytes(algorithm, text)
    if len(digits) != 2 * size:
        message = f"{text!r} has {len(digits)} hexadecimal digits; {algorithm} has {2 * size}"
        raise ValueError(message)
    return Checksum(algorithm, digits)


def _from_sri(algorithm: str, encoded: str, text: str) -> Checksum:
    size = _digest_bytes(algorithm, text)
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        digest = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != size:
        message = f"{text!r} is not the base64 of a {algorithm} digest ({size} bytes)"
        raise ValueError(message)
    return Checksum(algorithm, digest.hex())


def _digest_bytes(algorithm: str, text: str) -> int:
    try:
        return DIGEST_BYTES[algorithm]
    except KeyError:
        message = f"{text!r} names an unknown algorithm; known are {', '.join(DIGEST_BYTES)}"
        raise ValueError(message) from None


def parse_checksums(texts: Iterable[str]) -> dict[str, str]:
    """Read several checksums of one file (each may be an SRI list) into algorithm -> hex.

    Raises:
        ValueError: for one that cannot be read, or two of one algorithm that differ: a file has
            one content, so SRI's alternatives cannot be expected of it.
    """
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split():
            checksum = parse_checksum(word)
            known = found.setdefault(checksum.algorithm, checksum.hex)
            if known != checksum.hex:
                message = f"two different {checksum.algorithm} checksums: {known} and {checksum.hex}; a file has one"
                raise ValueError(message)
    return in_order(found)


def in_order(checksums: Mapping[str, str]) -> dict[str, str]:
    """Return ``checksums`` with the strongest algorithm first."""
    return {name: checksums[name] for name in DIGEST_BYTES if name in checksums}


def strength(checksums: Mapping[str, str]) -> ChecksumStrength:
    """Tell how far ``checksums`` (algorithm -> hex) identify one content."""
    if not checksums:
        return ChecksumStrength.NONE
    return ChecksumStrength.WEAK if set(checksums) <= WEAK_ALGORITHMS else ChecksumStrength.STRONG


class Hasher:
    """Several digests of one stream, each byte hashed once per algorithm; always with sha256."""

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        # By attribute: hashlib.new looks each name up in OpenSSL anew.
        names = {"sha256", *algorithms}
        self._hashes = {name: getattr(hashlib, name)(usedforsecurity=False) for name in names}

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the stream."""
        for digest in self._hashes.values():
            digest.update(data)

    def hex_digests(self) -> dict[str, str]:
        """Return algorithm -> hex of all bytes so far."""
        return in_order({name: digest.hexdigest() for name, digest in self._hashes.items()})
