"""What refers to an image: signatures, attestations, bills of materials.

OCI distribution specification 1.1, Listing Referrers and Referrers Tag Schema. Where a registry does
not speak of referrers, a tag made of the digest lists them; and cosign has tags of its own. None
of them being there is no fault.
"""

import re
from collections.abc import Sequence
from urllib.parse import urljoin

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.digests import Digest
from distfile_mirror.model.manifests import Descriptor, ManifestError, parse_manifest
from distfile_mirror.upstream.registry import ReceivedManifest, RegistryClient
from distfile_mirror.upstream.settings import Head

COSIGN_SUFFIXES = (".sig", ".att", ".sbom")
MAX_PAGES = 100

_NEXT = re.compile(r'<([^<>]*)>\s*;(?:[^,]*;)?\s*rel\s*=\s*"?next"?', re.IGNORECASE)


def referrers_tag(digest: Digest) -> str:
    """Return the tag that lists the referrers of ``digest`` where the registry does not."""
    return f"{digest.algorithm}-{digest.hex}"[:128]


def cosign_tags(digest: Digest) -> Sequence[str]:
    """Return the tags under which cosign keeps what belongs to ``digest``."""
    return [f"{digest.algorithm}-{digest.hex}{suffix}" for suffix in COSIGN_SUFFIXES]


async def list_referrers(
    client: RegistryClient, registry: str, repository: str, digest: Digest
) -> list[Descriptor] | None:
    """Return what refers to ``digest`` as the registry lists it, or None if it does not speak of referrers.

    Raises:
        TransientFetchError: if the registry may answer later.
        PermanentFetchError: if its list cannot be read to its end.
    """
    what = f"the referrers of {registry}/{repository}@{digest}"
    base = client.address(registry, repository, "")
    path: str | None = f"referrers/{digest}"
    found: list[Descriptor] = []
    for number in range(MAX_PAGES):
        if path is None:
            return found
        try:
            received = await client.get_list(registry, repository, path, what)
            found += _children(received)
        except PermanentFetchError:
            # Registries that do not know referrers answer anything from 404 to a page of their documentation.
            if not number:
                return None
            raise
        path = next_page(received.head, base)
    raise PermanentFetchError(f"{what}: the list has more than {MAX_PAGES} pages")


def _children(received: ReceivedManifest) -> Sequence[Descriptor]:
    page = parse_manifest(received.content, received.content_type)
    if not page.is_index:
        raise ManifestError("what should list referrers is not an index")
    return page.children


def next_page(head: Head, base: str) -> str | None:
    """Return the next page's path below the repository at ``base``, or None if ``head`` names none there."""
    for value in head.values("Link"):
        if match := _NEXT.search(value):
            target = urljoin(head.final_uri, match[1])
            return target.removeprefix(base) if target.startswith(base) else None
    return None
