"""The body of an answer, whoever made the connection that it comes on."""

from typing import Protocol


class CutBodyError(OSError):
    """The body ended too early; ``reason`` says how, and what was read of it is good."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(None, reason)


class Body(Protocol):
    """What follows a head, to be read, and to be given back in any case."""

    async def read(self) -> bytes | memoryview:
        """Return the next bytes, which are the caller's then; none at the end.

        Raises:
            CutBodyError: if there are no more although it is not the end.
        """

    def give_back(self) -> None:
        """Keep the connection for the next request if all of the body has come, else cut it."""
