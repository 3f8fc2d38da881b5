"""Asking a catalog that may hang: an unplugged machine refuses nothing, it does not answer.

Each question to such a one takes a thread until its connection is given up, some seconds later. So while
one waits for too long nobody else asks; and when it has failed, one asks at a time until one is answered.
"""

import time
from collections.abc import Callable

from distfile_mirror.catalog.found import FoundContent, FoundFile, MissingImage
from distfile_mirror.errors import UnavailableError
from distfile_mirror.proxy.registry_paths import RegistryRequest

# A question is answered in milliseconds; one that takes so long waits for a database that is away.
HANGING_SECONDS = 1.0

Answer = FoundFile | FoundContent | MissingImage | None
Find = Callable[[str, RegistryRequest | None], Answer]


class FailFastFind:
    """Asks by ``find``, in any thread; raises what it raises, and UnavailableError at once while the catalog hangs."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._begun: dict[object, float] = {}
        self._has_hung = False

    @property
    def hangs(self) -> bool:
        """Tell whether a question would wait, as far as is known from those that are being asked."""
        begun = list(self._begun.values())
        return bool(begun) and (self._has_hung or time.monotonic() - min(begun) > HANGING_SECONDS)

    def __call__(self, uri: str, request: RegistryRequest | None) -> Answer:
        """Ask."""
        if self.hangs:
            raise UnavailableError("the database does not answer now: others have been waiting for it")
        question, begun = object(), time.monotonic()
        self._begun[question] = begun
        try:
            found = self._find(uri, request)
        except UnavailableError:
            self._has_hung = self._has_hung or time.monotonic() - begun > HANGING_SECONDS
            raise
        else:
            self._has_hung = False
            return found
        finally:
            del self._begun[question]
