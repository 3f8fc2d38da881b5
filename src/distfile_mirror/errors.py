"""The exceptions that cross a layer, each answering two questions: whose fault, and is a retry sensible.

The message of every one is written for the person who reads it in a page, an API problem, a
terminal or a log: it says what happened and what to do. The class docstring is the default message.
"""


class MirrorError(Exception):
    """Something went wrong in Distfile Mirror."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or "")


class InvalidInputError(MirrorError):
    """What was given is not valid (HTTP 422; the same input fails again).

    ``problems`` maps the name of each wrong field to what is wrong with it.
    """

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {' '.join(texts)}" for field, texts in problems.items()))


class ConflictError(MirrorError):
    """What was asked contradicts what is stored (HTTP 409; a retry fails until one of them changes)."""


class NotFoundError(MirrorError):
    """There is no such thing (HTTP 404)."""


class NotSignedInError(MirrorError):
    """Sign in first, or send an API token (HTTP 401)."""


class NotAllowedError(MirrorError):
    """Your role does not allow this (HTTP 403; a retry fails until somebody changes the role)."""


class UnavailableError(MirrorError):
    """The database or the blob store does not answer now (HTTP 503; try again)."""


class DamagedError(MirrorError):
    """The stored bytes were found damaged and are being had again (HTTP 503; try again in a while)."""


class TransientFetchError(MirrorError):
    """The upstream failed in a way that may pass; the download is tried again later.

    ``retry_after``: seconds that the upstream asked for, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentFetchError(MirrorError):
    """The upstream's answer will not change by itself; the download waits for a person."""


class StorageError(UnavailableError):
    """The blob store failed; what was being written is discarded, what is stored is untouched."""


class StorageFullError(StorageError):
    """The blob store is full: free some space or enlarge it; downloads go on by themselves then."""


def in_one_line(error: MirrorError | OSError) -> str:
    """Say what ``error`` says, and of which file, for a person at a terminal or a log."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    return str(error)
