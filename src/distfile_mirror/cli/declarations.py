"""What a person asks to be declared: URIs as arguments, and lines on standard input."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One URI, and the checksums that stood behind it."""

    uri: str
    checksums: tuple[str, ...] = ()


def wanted(uris: Sequence[str], standard_input: TextIO) -> list[Wanted]:
    """Return what ``uris`` name, in their order; ``-`` stands for the lines of ``standard_input``."""
    found: list[Wanted] = []
    for uri in uris:
        if uri == STANDARD_INPUT:
            found += read_lines(standard_input)
        else:
            found.append(Wanted(uri))
    return found


def read_lines(lines: Iterable[str]) -> Iterator[Wanted]:
    """Yield what stands in ``lines``: ``URI [algorithm:hex]…``; blank ones and ``#`` comments are left out.

    A ``#`` begins a comment only at the start of a word: inside a URI it is a fragment.
    """
    for line in lines:
        words: list[str] = []
        for word in line.split():
            if word.startswith("#"):
                break
            words.append(word)
        if words:
            yield Wanted(words[0], tuple(words[1:]))
