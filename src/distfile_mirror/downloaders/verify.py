"""Is it the file that was declared?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.upstream.settings import Head


@dataclass(frozen=True, slots=True)
class Digests:
    """Algorithm -> hex, of the bytes as they came and of what they decode to (empty if they are not encoded)."""

    raw: Mapping[str, str]
    decoded: Mapping[str, str] = field(default_factory=dict)


def verify(expected: Mapping[str, str], found: Digests, *, uri: str, head: Head, size: int) -> None:
    """Return if every checksum of ``expected`` is that of the bytes, as they came or decoded.

    Raises:
        PermanentFetchError: showing what was expected and what came.
        TransientFetchError: the same, where the bytes may have been cut without a sign of it.
    """
    wrong = [name for name, digest in expected.items() if digest not in {found.raw[name], found.decoded.get(name)}]
    if not wrong:
        return
    message = f"{uri} is not what was declared: {'; '.join(_compare(name, expected, found) for name in wrong)}; "
    message += f"{size} bytes came" + _hint(head)
    if head.ends_by_close:
        raise TransientFetchError(f"{message}; their number was not announced, so they may be cut")
    raise PermanentFetchError(message)


def _compare(name: str, expected: Mapping[str, str], found: Digests) -> str:
    decoded = f", decoded {name}:{found.decoded[name]}" if name in found.decoded else ""
    return f"expected {name}:{expected[name]}, got {name}:{found.raw[name]}{decoded}"


def _hint(head: Head) -> str:
    kind = head.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        return f" of {kind}, so it is probably an error or login page in the file's place; look at {head.final_uri}"
    return ""
