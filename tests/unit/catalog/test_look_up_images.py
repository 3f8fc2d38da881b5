"""What the proxy is told of images, in every state that they can be in."""

import json

import pytest

from distfile_mirror.catalog import image_queue, moderate
from distfile_mirror.catalog.found import FoundContent, Why
from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.catalog.look_up_images import find_blob, find_manifest, find_referrers, find_tags, has_registry
from distfile_mirror.catalog.models import Image
from distfile_mirror.model.states import State
from tests.unit.catalog.files import OWNER
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    ATTESTATION,
    INDEX,
    REGISTRY,
    REPOSITORY,
    arrived,
    blob,
    blocked,
    declare,
    digest_of,
    failed,
    fetched_manifest,
    fetching,
    manifest,
    present,
)

pytestmark = pytest.mark.django_db
HERE = ((REGISTRY, REPOSITORY),)
LAYER = blob(b"layer one")["digest"]


def why(found):
    return found.why, found.state


def test_a_present_image():
    present(AMD64)
    found = find_manifest(HERE, digest_of(AMD64))
    assert (found.content, found.size, found.media_type) == (AMD64, len(AMD64), json.loads(AMD64)["mediaType"])
    assert found.permanent
    assert find_blob(HERE, LAYER) == FoundContent(LAYER, "application/octet-stream", 9, sha256=LAYER[7:])


def test_an_index_and_the_children_that_were_chosen():
    image = present(INDEX)
    for content in (INDEX, AMD64, ATTESTATION):
        assert find_manifest(HERE, digest_of(content)).content == content
    found = find_manifest(HERE, digest_of(ARM64))
    assert (found.why, found.image_id, found.platform) == (Why.PLATFORM_NOT_CHOSEN, image.pk, "linux/arm64")


@pytest.mark.parametrize(
    ("make", "state"), [(declare, State.PENDING), (fetching, State.FETCHING), (failed, State.FAILED)]
)
def test_what_is_declared_and_not_there(make, state):
    make(AMD64)
    assert why(find_manifest(HERE, digest_of(AMD64))) == (Why.DECLARED, state)
    assert why(find_blob(HERE, LAYER)) == (Why.NOT_A_PART, None)


def test_nothing_is_served_elsewhere():
    present(AMD64)
    for elsewhere in ((REGISTRY, "other"), ("other.test", REPOSITORY)):
        assert why(find_manifest((elsewhere,), digest_of(AMD64))) == (Why.NOT_DECLARED, None)
        assert why(find_blob((elsewhere,), LAYER)) == (Why.NOT_DECLARED, None)
    present(ARM64, repository="other")
    assert why(find_blob(((REGISTRY, "other"),), blob(b"layer two")["digest"])) == (Why.NOT_A_PART, None)


def test_the_first_candidate_that_exists_is_meant():
    present(AMD64)
    candidates = (("registry.test/team", "tool"), *HERE)
    assert find_manifest(candidates, digest_of(AMD64)).content == AMD64


def test_by_tag():
    present(AMD64, tag="12")
    found = find_manifest(HERE, "12")
    assert (found.why, found.present) == (Why.BY_TAG, ((digest_of(AMD64), "12"),))
    assert find_manifest((("other.test", "x"),), "12").why is Why.BY_TAG


def test_what_is_blocked():
    blocked(AMD64)
    for found in (find_manifest(HERE, digest_of(AMD64)), find_blob(HERE, LAYER)):
        assert (found.state, found.message) == (State.BLOCKED, "known to be malicious")


def test_a_blocked_index_takes_its_children_along_unless_they_are_images_themselves():
    blocked(INDEX)
    assert find_manifest(HERE, digest_of(AMD64)).state is State.BLOCKED
    present(AMD64)
    assert find_manifest(HERE, digest_of(AMD64)).content == AMD64
    assert find_manifest(HERE, digest_of(INDEX)).state is State.BLOCKED
    assert isinstance(find_blob(HERE, LAYER), FoundContent)


def test_a_blocked_child_is_blocked_in_the_index_too():
    present(INDEX)
    moderate.block(Image, present(AMD64).pk, reason="bad", actor="bob")
    assert find_manifest(HERE, digest_of(AMD64)).state is State.BLOCKED
    assert find_manifest(HERE, digest_of(INDEX)).content == INDEX


def test_what_it_had_is_served_while_more_of_it_is_fetched():
    present(INDEX)
    declare(INDEX, platforms=["linux/arm64"])
    assert find_manifest(HERE, digest_of(INDEX)).content == INDEX
    assert find_manifest(HERE, digest_of(AMD64)).content == AMD64
    assert why(find_manifest(HERE, digest_of(ARM64))) == (Why.DECLARED, State.PENDING)


def test_referrers_and_their_tags():
    image = fetching(AMD64)
    subject = digest_of(AMD64)
    signature = manifest(b"a signature")
    tag = subject.replace(":", "-") + ".sig"
    referrer = fetched_manifest(signature, Role.REFERRER, subject=subject, tag=tag, artifact_type="a/b")
    image_queue.record(OWNER, [arrived(image.pk, AMD64, [referrer])])
    index = json.loads(find_referrers(HERE, subject, "").content)
    assert [each["digest"] for each in index["manifests"]] == [digest_of(signature)]
    assert index["manifests"][0]["artifactType"] == "a/b"
    assert json.loads(find_referrers(HERE, subject, "c/d").content)["manifests"] == []
    assert find_manifest(HERE, tag).content == signature
    assert not find_manifest(HERE, tag).permanent
    assert json.loads(find_tags(HERE).content) == {"name": REPOSITORY, "tags": [tag]}


def test_registries():
    declare()
    assert has_registry(REGISTRY)
    assert not has_registry("other.test")
