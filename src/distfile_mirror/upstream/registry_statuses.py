"""What a registry's status means, in words for the person who declared the image. No I/O."""

import re
from dataclasses import dataclass
from datetime import datetime

from distfile_mirror.errors import MirrorError, PermanentFetchError, TransientFetchError
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.retry_after import parse_retry_after
from distfile_mirror.upstream.settings import Head
from distfile_mirror.upstream.statuses import OK, UNAUTHORIZED, check_status, one_line

SETTING = "registry_credentials_file"
FORBIDDEN = 403
NOT_FOUND = 404
TOO_MANY_REQUESTS = 429
NOT_IMPLEMENTED = 501

_QUERY = re.compile(r"(?<=[^\s?])\?[^\s?]\S*?(?=[:;,)]*(?:\s|$))")


class NotInRegistryError(PermanentFetchError):
    """The registry does not have it (404)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a registry. ``what`` names it for people, such as ``docker.io/library/debian@sha256:…``."""

    registry: str
    repository: str
    what: str
    has_credentials: bool


def check_registry_status(head: Head, uri: str, wanted: Wanted, *, now: datetime) -> None:
    """Return if ``head`` begins what is ``wanted`` at ``uri``.

    Raises:
        TransientFetchError: for what may pass, with the seconds of Retry-After.
        NotInRegistryError: for a 404 of the registry itself.
        PermanentFetchError: for all else that is not 200.
    """
    if head.status == OK:
        return
    answer = f"{head.status} {one_line(head.reason)}".strip()
    if not is_elsewhere(head, uri):
        _check_own_refusal(head, answer, wanted)
    if head.status == TOO_MANY_REQUESTS:
        wait = parse_retry_after(head.headers.get("Retry-After"), now=now)
        hint = "" if wanted.has_credentials else f"; with credentials in {SETTING} more may be allowed"
        message = f"{wanted.what}: {wanted.registry} has been asked too often ({answer}){hint}"
        raise TransientFetchError(message, retry_after=wait)
    if head.status == NOT_IMPLEMENTED:
        raise PermanentFetchError(f"{wanted.what}: {wanted.registry} does not know such a request ({answer})")
    try:
        check_status(head, uri, now=now)
    except MirrorError as error:
        raise with_message(error, f"{wanted.what}: {error}") from None


def _check_own_refusal(head: Head, answer: str, wanted: Wanted) -> None:
    if head.status in {UNAUTHORIZED, FORBIDDEN}:
        raise PermanentFetchError(f"{wanted.what}: {_refusal(wanted)} ({answer})")
    if head.status == NOT_FOUND:
        raise NotInRegistryError(
            f"{wanted.what}: {wanted.registry} does not have it ({answer}); it may have been removed, or its name or "
            "digest is misspelt"
        )


def is_elsewhere(head: Head, uri: str) -> bool:
    """Tell whether another host than that of ``uri`` answered, after a redirect."""
    return parse_file_uri(head.final_uri).authority != parse_file_uri(uri).authority


def with_message(error: MirrorError, message: str) -> MirrorError:
    """Return an error of the kind of ``error``, where fetching tells kinds apart, with ``message``."""
    if isinstance(error, TransientFetchError):
        return TransientFetchError(message, retry_after=error.retry_after)
    if isinstance(error, NotInRegistryError):
        return NotInRegistryError(message)
    return PermanentFetchError(message) if isinstance(error, PermanentFetchError) else error


def without_queries(text: str) -> str:
    """Take the queries of addresses out of a message: registries redirect to signed ones, which are credentials."""
    return _QUERY.sub("?…", text)


def _refusal(wanted: Wanted) -> str:
    if wanted.has_credentials:
        return (
            f"the token was refused: {wanted.registry} does not give {wanted.repository} to the credentials that "
            f"{SETTING} has for it; there is no such repository (check its spelling), or they may not pull from it"
        )
    return (
        f"the token was refused: {wanted.registry} does not give {wanted.repository} to everybody; there is no such "
        f"repository (check its spelling), or it is private: then put credentials for {wanted.registry} into the file "
        f"that the setting {SETTING} names"
    )
