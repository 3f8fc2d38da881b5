"""Gathers everything that is wrong with an input, so that a person mends it in one go."""

from collections.abc import Callable
from typing import TypeVar

from distfile_mirror.errors import InvalidInputError

Given = TypeVar("Given")
Parsed = TypeVar("Parsed")


class Problems:
    """What is wrong so far, by field."""

    def __init__(self) -> None:
        self._by_field: dict[str, list[str]] = {}

    def add(self, name: str, text: str) -> None:
        """Note that field ``name`` is wrong."""
        self._by_field.setdefault(name, []).append(text)

    def collect(self, name: str, parse: Callable[[Given], Parsed], given: Given) -> Parsed | None:
        """Return ``parse(given)``; a ValueError is noted instead, and None returned."""
        try:
            return parse(given)
        except ValueError as error:
            self.add(name, str(error))
            return None

    def raise_if_any(self) -> None:
        """Raise InvalidInputError if anything was noted."""
        if self._by_field:
            raise InvalidInputError(self._by_field)
