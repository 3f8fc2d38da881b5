"""Which explanation a miss gets, and how it is noted. Pure."""

from distfile_mirror.catalog.found import FoundFile, MissingImage, Why
from distfile_mirror.catalog.seen import ArtifactKind, MissKey
from distfile_mirror.model.misses import MissReason
from distfile_mirror.model.states import State
from distfile_mirror.proxy import pages
from distfile_mirror.proxy.decide import Serve
from distfile_mirror.proxy.lookups import Missing
from distfile_mirror.proxy.registry_pages import image_name, missing_image_page
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest


def miss_page(asked: Serve, found: Missing, admin_url: str) -> pages.Page:
    """Say why ``asked`` is not served, when ``found`` is all that is known of it."""
    if isinstance(found, MissingImage):
        assert asked.registry is not None  # noqa: S101 - only such a request finds it
        return missing_image_page(found, asked.registry, admin_url)
    return pages.miss_page(asked.uri, found, admin_url)


def miss_key(asked: Serve, found: Missing, label: str, client: str) -> MissKey | None:
    """Return how the miss is noted; None for a part of an image, whose manifest is asked for as well."""
    if asked.registry is not None and not isinstance(found, FoundFile):
        return _image_key(asked.registry, found, label, client)
    if not isinstance(found, FoundFile):
        reason = MissReason.GIT if pages.is_git(asked.uri) else MissReason.NOT_DECLARED
    else:
        reason = _BY_STATE[found.state]
    return MissKey(ArtifactKind.FILE, asked.uri, reason, label, client)


def refused_key(uri: str, label: str, client: str) -> MissKey | None:
    """Return how a request by a wrong method is noted; None for what only a registry mirror is asked."""
    if not uri.startswith("http"):
        return None
    reason = MissReason.GIT if pages.is_git(uri) else MissReason.WRONG_METHOD
    return MissKey(ArtifactKind.FILE, uri, reason, label, client)


_BY_STATE = {
    State.REQUESTED: MissReason.REQUESTED,
    State.REJECTED: MissReason.REJECTED,
    State.PENDING: MissReason.PENDING,
    State.FETCHING: MissReason.PENDING,
    State.FAILED: MissReason.FAILED,
    State.BLOCKED: MissReason.BLOCKED,
}
_BY_WHY = {
    Why.NOT_DECLARED: MissReason.NOT_DECLARED,
    Why.BY_TAG: MissReason.BY_TAG,
    Why.PLATFORM_NOT_CHOSEN: MissReason.PLATFORM_NOT_CHOSEN,
}


def _image_key(request: RegistryRequest, found: MissingImage | None, label: str, client: str) -> MissKey | None:
    if request.kind is not Kind.MANIFEST or found is None:
        return None
    reason = _BY_WHY.get(found.why) or _BY_STATE.get(found.state or State.PENDING, MissReason.PENDING)
    return MissKey(ArtifactKind.IMAGE, image_name(found), reason, label, client)
