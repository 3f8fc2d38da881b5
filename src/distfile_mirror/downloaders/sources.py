"""Several places that may have the same bytes: each is tried in its turn."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from distfile_mirror.errors import PermanentFetchError, TransientFetchError

S = TypeVar("S")
T = TypeVar("T")


async def from_first(sources: Iterable[S], fetch: Callable[[S], Awaitable[T]]) -> T:
    """Return what ``fetch`` gives for the first of ``sources``, of which there is one at least, that has it.

    Raises:
        TransientFetchError: if any of them may work later.
        PermanentFetchError: if none will by itself.
    """
    errors: list[TransientFetchError | PermanentFetchError] = []
    for source in sources:
        try:
            return await fetch(source)
        except (TransientFetchError, PermanentFetchError) as error:
            errors.append(error)
    raise _summed_up(errors)


def _summed_up(errors: list[TransientFetchError | PermanentFetchError]) -> TransientFetchError | PermanentFetchError:
    """Make one error of those of each source: it may pass if any of them may."""
    first = errors[0]
    if len(errors) == 1:
        return first
    message = "no source has it: " + "; then ".join(map(str, errors))
    if not any(isinstance(error, TransientFetchError) for error in errors):
        return PermanentFetchError(message)
    # Only the first source's host is left alone: rows are sorted by it.
    return TransientFetchError(message, retry_after=getattr(first, "retry_after", None))
