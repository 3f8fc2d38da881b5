"""Where a redirect leads (RFC 9110, 10.2.2 and 15.4)."""

from collections.abc import Collection
from urllib.parse import quote, urljoin

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.uris import FileUri, parse_file_uri
from distfile_mirror.upstream.settings import Head

MAX_REDIRECTS = 10
_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def next_hop(visited: Collection[str], current: FileUri, head: Head) -> FileUri:
    """Return the target of the redirect ``head``, the answer at ``current``; ``visited`` are all URIs asked so far.

    Raises:
        PermanentFetchError: for a loop, too many redirects, or a target that cannot be followed.
    """
    location = head.headers.get("Location", "").strip()
    if not location:
        raise PermanentFetchError(f"{current} answered {head.status} without saying where it redirects to")
    # Servers write characters that a URI cannot have; as bytes they mean what their encoding is.
    quoted = quote(location.encode("utf-8", "surrogateescape"), safe=_PRINTABLE_ASCII)
    try:
        target = parse_file_uri(urljoin(str(current), quoted))
    except ValueError as error:
        raise PermanentFetchError(f"{current} redirects to where nothing can be fetched: {error}") from None
    if str(target) in visited:
        raise PermanentFetchError(f"{current} redirects in a loop, to {target} where it came from")
    if len(visited) > MAX_REDIRECTS:
        raise PermanentFetchError(f"more than {MAX_REDIRECTS} redirects, the last one from {current} to {target}")
    return target
