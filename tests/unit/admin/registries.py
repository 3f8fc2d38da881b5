"""A registry of one tag, as the admin asks it."""

from distfile_mirror.catalog.image_facts import TagEvidence
from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.model.manifests import OCI_INDEX
from tests.unit.catalog.images import INDEX, digest_of


def resolve_tag(registry, repository, tag):
    if registry == "away.test":
        raise TransientFetchError("away.test does not answer")
    if tag not in {"1.2", "latest"}:
        raise PermanentFetchError(f"there is no {tag}")
    return TagEvidence(tag, digest_of(INDEX), "", OCI_INDEX, ("linux/amd64", "linux/arm64"))
