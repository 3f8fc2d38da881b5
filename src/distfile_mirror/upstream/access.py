"""In whose name an upstream is asked, and what its refusals mean: nobody's for files, somebody's for registries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.settings import Head
from distfile_mirror.upstream.statuses import check_status


class Access(Protocol):
    """One request's way of saying who asks. ``form``: it is a POST of that, whose redirects are not followed."""

    @property
    def form(self) -> Mapping[str, str] | None:
        """What is sent as the body of a POST; None for a GET."""

    def is_home(self, uri: FileUri) -> bool:
        """Tell whether ``uri`` is of the very origin to which credentials may be shown."""

    def headers(self, *, at_home: bool) -> Mapping[str, str]:
        """Return what is sent along, credentials only ``at_home``."""

    async def renew(self, head: Head, sent: Mapping[str, str]) -> bool:
        """After a 401 on a request with the headers ``sent``: tell whether asking once more may help.

        Raises:
            TransientFetchError, PermanentFetchError: if new credentials cannot be had.
        """

    def check_status(self, head: Head, uri: str, *, now: datetime) -> None:
        """Return if ``head`` begins what was asked for. Raises TransientFetchError, PermanentFetchError."""


class Anybody:
    """Asks in nobody's name."""

    form = None

    def is_home(self, uri: FileUri) -> bool:  # noqa: ARG002
        """See Access.is_home."""
        return False

    def headers(self, *, at_home: bool) -> Mapping[str, str]:  # noqa: ARG002
        """See Access.headers."""
        return {}

    async def renew(self, head: Head, sent: Mapping[str, str]) -> bool:  # noqa: ARG002
        """See Access.renew."""
        return False

    def check_status(self, head: Head, uri: str, *, now: datetime) -> None:
        """See Access.check_status."""
        check_status(head, uri, now=now)


ANYBODY = Anybody()


def is_same_origin(one: FileUri, other: FileUri) -> bool:
    """Tell whether scheme, host and port are the same (RFC 6454, 5)."""
    return (one.scheme, one.authority) == (other.scheme, other.authority)
