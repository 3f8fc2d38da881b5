"""What refers to an image and to its chosen children, to be kept along with it."""

from collections.abc import Iterable

from distfile_mirror.catalog.image_facts import ImageClaim, Role
from distfile_mirror.downloaders.manifest_tree import Wanted
from distfile_mirror.downloaders.parallel import in_parallel
from distfile_mirror.model.digests import parse_digest
from distfile_mirror.upstream.registry import RegistryClient
from distfile_mirror.upstream.registry_referrers import cosign_tags, list_referrers, referrers_tag


async def find_referrers(
    registries: RegistryClient, claim: ImageClaim, subjects: Iterable[str], *, at_once: int
) -> list[Wanted]:
    """Return what may refer to ``subjects`` (digests): what the registry lists, and tags where it may be found.

    Raises:
        TransientFetchError, PermanentFetchError: if the registry does not answer as it should.
    """

    async def find(subject: str) -> list[Wanted]:
        digest = parse_digest(subject)
        listed = await list_referrers(registries, claim.registry, claim.repository, digest)
        tags = [*cosign_tags(digest), *([referrers_tag(digest)] if listed is None else [])]
        by_digest = [Wanted(str(each.digest), Role.REFERRER, each, optional=True) for each in listed or ()]
        return [*by_digest, *(Wanted(tag, Role.REFERRER, optional=True) for tag in tags)]

    found = await in_parallel(find, subjects, at_once=at_once)
    return [wanted for each in found for wanted in each]
