"""What an upstream's status means for a file, in words for the person who declared it."""

from datetime import datetime

from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.upstream.retry_after import parse_retry_after
from distfile_mirror.upstream.settings import Head

OK = 200
UNAUTHORIZED = 401
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
_PASSING = frozenset({408, 425, 429})

_MEANINGS = {
    401: "the upstream wants a login, and downloads are made without one",
    402: "the upstream wants to be paid",
    403: "the upstream refuses to give it, perhaps to anybody, perhaps to this network",
    404: "the upstream does not have it; check the spelling, or declare where it is now",
    405: "the upstream does not let it be fetched by GET",
    407: "the outgoing proxy wants a login; put it into HTTPS_PROXY or HTTP_PROXY",
    410: "the upstream had it and removed it for good; declare another source, with the checksum",
    414: "the upstream finds the URI too long",
    429: "the upstream has been asked too often",
    451: "the upstream may not give it, for legal reasons",
}


def check_status(head: Head, uri: str, *, now: datetime) -> None:
    """Return if ``head`` begins a file.

    Raises:
        TransientFetchError: for 408, 425, 429 and 5xx, with the seconds of Retry-After.
        PermanentFetchError: for all else that is not 200.
    """
    if head.status == OK:
        return
    message = describe(head, uri)
    if head.status in _PASSING or head.status in _SERVER_ERRORS:
        raise TransientFetchError(message, retry_after=parse_retry_after(head.headers.get("Retry-After"), now=now))
    raise PermanentFetchError(message)


def describe(head: Head, uri: str) -> str:
    """Say what the status of ``head`` means; an address other than ``uri`` that gave it is named."""
    answer = f"{head.status} {one_line(head.reason)}".strip()
    where = "" if head.final_uri == uri else f" (from {head.final_uri}, to which it redirects)"
    return f"{uri} answered {answer}{where}: {_meaning(head.status)}"


def one_line(text: str, longest: int = 200) -> str:
    """Make what an upstream said fit for a message: one line of printable characters, not too long."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= longest else text[:longest] + "…"


def _meaning(status: int) -> str:
    if status in _MEANINGS:
        return _MEANINGS[status]
    if status in _CLIENT_ERRORS:
        return "the upstream refuses the request"
    if status in _SERVER_ERRORS:
        return "the upstream has a fault of its own"
    return "only a 200 is a file"
