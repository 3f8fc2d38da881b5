"""Which header fields of an upstream's answer are kept, to be sent again with the file."""

from collections.abc import Mapping

REPLAYED = ("Content-Type", "Content-Disposition", "Last-Modified", "Content-Encoding")
_LONGEST = 2048


def headers_to_replay(headers: Mapping[str, str]) -> dict[str, str]:
    """Pick from ``headers``, looked up without regard to case, what upstream really sent and is fit to be sent.

    A value with control characters is dropped, since it could end the field and begin another.
    Bytes that are not UTF-8 are read as Latin-1 (RFC 9110, 5.5).
    """
    kept = {}
    for name in REPLAYED:
        value = _readable(headers.get(name, "")).strip()
        if value and len(value) <= _LONGEST and value.isprintable():
            kept[name] = value
    if kept.get("Content-Encoding", "").lower() == "identity":
        del kept["Content-Encoding"]
    return kept


def _readable(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
