"""Lists of images, and what they consist of."""

import json

import pytest

from distfile_mirror.catalog import image_queue
from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.catalog.image_listing import (
    ImageFilters,
    get_image,
    get_registry,
    get_repository,
    list_images,
    list_registries,
    list_repositories,
    stored_image_bytes,
)
from distfile_mirror.catalog.image_parts import image_layers, image_parts, image_platforms
from distfile_mirror.catalog.listing import count_by_state
from distfile_mirror.catalog.models import Image
from distfile_mirror.catalog.platform_choice import choose_platforms
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.manifests import OCI_INDEX
from distfile_mirror.model.states import State
from tests.unit.catalog.files import OWNER
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    ATTESTATION,
    INDEX,
    arrived,
    claim_all,
    declare,
    descriptor,
    digest_of,
    failed,
    fetched_manifest,
    fetching,
    fresh,
    manifest,
    present,
    write,
)

pytestmark = pytest.mark.django_db


def names(**filters):
    return [image.repository.name for image in list_images(ImageFilters(**filters)).items]


def test_filters_hold_together():
    present(repository="team/one", project="one")
    failed(repository="team/two_x", project="two")
    declare(ARM64, registry="docker.io", repository="debian", project="two")
    assert names() == ["library/debian", "team/two_x", "team/one"]
    assert names(q="STRY.test/team/o") == ["team/one"]
    assert names(q=digest_of(ARM64)[10:30]) == ["library/debian"]
    assert names(q="_") == ["team/two_x"], "no wildcards"
    assert names(state="failed") == ["team/two_x"]
    assert names(project="two", q="registry") == ["team/two_x"]
    assert names(registry="https://index.docker.io") == ["library/debian"]
    assert names(repository="team/one") == ["team/one"]
    assert names(digest=digest_of(AMD64)) == ["team/two_x", "team/one"]
    assert count_by_state(Image)[State.FAILED] == 1


@pytest.mark.parametrize(
    ("given", "fields"),
    [({"state": "lost"}, {"state"}), ({"registry": "a b", "digest": "x"}, {"registry", "digest"})],
)
def test_what_no_list_has_is_named(given, fields):
    with pytest.raises(InvalidInputError) as refused:
        list_images(ImageFilters(**given))
    assert set(refused.value.problems) == fields


def test_pages_neither_skip_nor_repeat():
    expected = [declare(repository=f"a{number}").image.pk for number in range(5)][::-1]
    page = list_images(ImageFilters(), limit=3)
    assert [image.pk for image in page.items] == expected[:3]
    assert [image.pk for image in list_images(ImageFilters(), cursor=page.next_cursor).items] == expected[3:]


def test_registries_and_repositories_are_counted():
    one, two = present(repository="a"), present(ARM64, repository="b")
    declare(INDEX, repository="b")
    declare(registry="other.test")
    other, registry = list_registries().items
    assert (registry.name, registry.image_count, registry.bytes) == ("registry.test", 3, one.size + two.size)
    assert (other.image_count, other.bytes) == (1, 0)
    second, first = list_repositories(registry.pk).items
    assert [(first.name, first.image_count), (second.name, second.image_count)] == [("a", 1), ("b", 2)]
    assert get_registry(registry.pk).image_count == 3
    assert get_repository(second.pk).bytes == two.size
    assert stored_image_bytes() == one.size + two.size


@pytest.mark.parametrize("get", [get_image, get_registry, get_repository])
def test_what_is_not_there_is_not_found(get):
    with pytest.raises(NotFoundError):
        get(2**70)


def test_layers_are_in_order_with_repeated_ones():
    layers = image_layers(present())
    assert [(layer.role, layer.size) for layer in layers] == [
        ("config", 2),
        ("layer", 9),
        ("layer", 9),
        ("layer", 9),
    ]
    assert layers[1] == layers[3] != layers[2]
    assert image_layers(present(INDEX)) == ()
    assert image_layers(declare(ARM64).image) == ()


def states(image):
    return {(child.platform, child.state) for child in image_platforms(fresh(image))}


def test_platforms_tell_what_is_there_on_its_way_or_not_chosen():
    image = present(INDEX)
    attestation = {("unknown/unknown", "present")}
    assert states(image) == {("linux/amd64", "present"), ("linux/arm64", "not chosen")} | attestation
    choose_platforms(image.pk, ["linux/arm64"], actor="a")
    assert states(image) == {("linux/amd64", "present"), ("linux/arm64", "pending")} | attestation
    claim_all()
    assert ("linux/arm64", "fetching") in states(image)
    amd64, arm64, attesting = image_platforms(image)
    assert amd64.size == len(AMD64) + 2 + 9 + 9
    assert arm64.size is None
    assert (attesting.digest, attesting.attests) == (digest_of(ATTESTATION), digest_of(AMD64))
    assert image_platforms(fetching(ARM64)) == ()


def test_a_nested_index_shows_what_is_in_it():
    inner = write({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(ARM64, "linux/arm64")]})
    nested = {**descriptor(inner), "mediaType": OCI_INDEX}
    outer = write({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [nested]})
    image = fetching(outer, platforms=["linux/arm64"])
    children = [fetched_manifest(inner, Role.CHILD), fetched_manifest(ARM64, Role.CHILD, "linux/arm64")]
    image_queue.record(OWNER, [arrived(image.pk, outer, children)])
    assert [(child.platform, child.state) for child in image_platforms(image)] == [
        ("", "present"),
        ("linux/arm64", "present"),
    ]


def test_referrers_are_shown():
    signature = manifest(b"a signature")
    image = fetching(with_referrers=True)
    found = fetched_manifest(
        signature, Role.REFERRER, subject=digest_of(AMD64), artifact_type="application/x-sig", tag="sha256-abc.sig"
    )
    image_queue.record(OWNER, [arrived(image.pk, AMD64, [found])])
    (referrer,) = image_parts(fresh(image)).referrers
    assert (referrer.digest, referrer.tag, referrer.subject) == (
        digest_of(signature),
        "sha256-abc.sig",
        digest_of(AMD64),
    )
    assert referrer.size == len(signature) + sum(
        each["size"] for each in [json.loads(signature)["config"], *json.loads(signature)["layers"]]
    )


def test_before_it_is_fetched_nothing_is_known_of_its_parts():
    parts = image_parts(declare().image)
    assert parts.layers == parts.platforms == parts.referrers == ()
