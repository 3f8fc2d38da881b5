"""Sizes as people read them: the same in pages and in a terminal."""

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
# What rounds to 1000 is written in the next unit.
_THREE_DIGITS = 999.5


def size_in_words(count: int | None) -> str:
    """Write a number of bytes with three digits at most and its unit; nothing for None."""
    if count is None:
        return ""
    amount, unit = float(count), "B"
    for following in _UNITS:
        if amount < _THREE_DIGITS:
            break
        amount, unit = amount / 1024, following
    return f"{count} B" if unit == "B" else f"{amount:.3g} {unit}"
