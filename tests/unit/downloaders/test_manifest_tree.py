"""Which manifests an image has, of a registry in memory; tests/acceptance/test_hostile_registries.py has a real one."""

import asyncio
import base64
import json

import pytest
from multidict import CIMultiDict

from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.downloaders import manifest_tree
from distfile_mirror.downloaders.manifest_tree import (
    EVERYTHING,
    ManifestTree,
    Part,
    Wanted,
    check_choice,
    children_wanted,
    own_manifest,
    subjects,
)
from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.digests import parse_digest
from distfile_mirror.model.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from distfile_mirror.model.platforms import parse_choice
from distfile_mirror.upstream.registry import ReceivedManifest
from distfile_mirror.upstream.registry_statuses import NotInRegistryError
from distfile_mirror.upstream.settings import Head
from tests.registry_server import descriptor, digest_of

AMD64 = parse_choice(["linux/amd64"])


class Store:
    """Manifests by reference, and what was asked for."""

    def __init__(self):
        self.manifests = {}
        self.asked = []

    def add(self, document, *, tag=None, **more):
        content = json.dumps(document).encode()
        self.manifests[tag or digest_of(content)] = content
        return descriptor(content, document["mediaType"], **more)

    def image(self, number, *, tag=None, **more):
        config = descriptor(b"%d" % number, "x/config")
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
        return self.add(document, tag=tag, **more)

    def index(self, *children, tag=None, **more):
        return self.add({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}, tag=tag, **more)

    async def get(self, reference):
        self.asked.append(reference)
        if reference not in self.manifests:
            raise NotInRegistryError(f"{reference} is not there")
        return ReceivedManifest(self.manifests[reference], "", Head(200, "", CIMultiDict(), ""))

    def tree(self, root, choice):
        tree = ManifestTree(self.get, at_once=3)
        asyncio.run(tree.collect([own_manifest(root["digest"])], choice))
        return tree


def on(platform):
    os, architecture = platform.split("/")
    return {"platform": {"os": os, "architecture": architecture}}


def test_each_is_asked_for_once_and_its_own_comes_first():
    store = Store()
    child = store.image(1, **on("linux/amd64"))
    inner = store.index(child, store.image(2, **on("linux/arm64")))
    root = store.index(child, child, inner)
    tree = store.tree(root, EVERYTHING)
    assert next(iter(tree.parts)) == root["digest"]
    assert sorted(store.asked) == sorted(tree.parts)
    assert len(tree.parts) == 4
    assert set(subjects(tree.parts.values())) == set(tree.parts)


def test_embedded_children_are_not_asked_for():
    store = Store()
    content = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(b"", "x/y"), "layers": []}
    ).encode()
    child = descriptor(content, OCI_MANIFEST, data=base64.b64encode(content).decode(), **on("linux/amd64"))
    root = store.index(child)
    assert child["digest"] in store.tree(root, AMD64).parts
    assert store.asked == [root["digest"]]


def test_what_an_index_lists_that_is_no_manifest_is_a_blob():
    store = Store()
    root = store.index(
        store.image(1, **on("linux/amd64")), descriptor(b"layer", "application/vnd.oci.image.layer.v1.tar")
    )
    part = store.tree(root, EVERYTHING).parts[root["digest"]]
    assert [(blob.role, blob.size) for blob in part.blobs] == [("layer", 5)]
    assert not store.tree(root, AMD64).parts[root["digest"]].blobs


def test_a_circle():
    # No true digests can make one, so it is made of what was read.
    digests = [parse_digest("sha256:" + character * 64) for character in "ab"]
    children = tuple(Descriptor(digest, 1, OCI_INDEX, "manifest") for digest in digests)
    part = Part(
        Wanted(str(digests[1]), Role.CHILD, path=(str(digests[0]),)),
        str(digests[1]),
        b"",
        Manifest(OCI_INDEX, children),
        (),
    )
    with pytest.raises(PermanentFetchError, match="in a circle"):
        children_wanted(part, EVERYTHING)


@pytest.mark.parametrize(("depth", "fits"), [(3, True), (4, False)])
def test_depth(depth, fits):
    store = Store()
    root = store.image(1, **on("linux/amd64"))
    for _ in range(depth):
        root = store.index(root)
    if fits:
        assert len(store.tree(root, AMD64).parts) == depth + 1
    else:
        with pytest.raises(PermanentFetchError, match="deep"):
            store.tree(root, AMD64)


def test_how_much_is_held_in_memory_is_limited(monkeypatch):
    monkeypatch.setattr(manifest_tree, "MAX_MANIFESTS", 5)
    store = Store()
    root = store.index(*(store.image(number, **on("linux/amd64")) for number in range(20)))
    with pytest.raises(PermanentFetchError, match="more than 5 manifests"):
        store.tree(root, AMD64)


def test_what_is_optional_may_be_missing():
    store = Store()
    sig = store.image(1, tag="sha256-1.sig")
    tree = ManifestTree(store.get, at_once=3)
    wanted = [Wanted(tag, Role.REFERRER, optional=True) for tag in ("sha256-1.sig", "sha256-1.att")]
    asyncio.run(tree.collect(wanted, EVERYTHING))
    assert [(part.digest, part.wanted.tag) for part in tree.parts.values()] == [(sig["digest"], "sha256-1.sig")]
    with pytest.raises(NotInRegistryError):
        asyncio.run(tree.collect([Wanted("sha256-1.att", Role.REFERRER)], EVERYTHING))


def test_a_referrer_that_is_listed_and_has_a_tag_keeps_the_tag():
    store = Store()
    sig = store.image(1, tag="sha256-1.sig")
    store.image(1)
    tree = ManifestTree(store.get, at_once=1)
    wanted = [Wanted(reference, Role.REFERRER) for reference in (sig["digest"], "sha256-1.sig")]
    asyncio.run(tree.collect(wanted, EVERYTHING))
    assert [part.wanted.tag for part in tree.parts.values()] == ["sha256-1.sig"]


@pytest.mark.parametrize(
    ("choice", "words"),
    [("linux/s390x", "it has linux/amd64, linux/arm64"), ("linux/amd64", None), ("all", None), ("none", None)],
)
def test_choices(choice, words):
    store = Store()
    inner = store.index(store.image(1, **on("linux/amd64")))
    root = store.index(inner, store.image(2, **on("linux/arm64")))
    choice = parse_choice([choice])
    parts = store.tree(root, choice).parts
    if words is None:
        check_choice(parts[root["digest"]], parts.values(), choice)
        return
    with pytest.raises(PermanentFetchError) as found:
        check_choice(parts[root["digest"]], parts.values(), choice)
    for word in words.removeprefix("it has ").split(", "):
        assert word in str(found.value)


def test_an_index_without_platforms():
    store = Store()
    root = store.index(store.image(1))
    parts = store.tree(root, AMD64).parts
    with pytest.raises(PermanentFetchError, match="choose all"):
        check_choice(parts[root["digest"]], parts.values(), AMD64)


def test_faults_name_the_part():
    store = Store()
    child = store.image(1, **on("linux/amd64"))
    root = store.index(child)
    store.manifests[child["digest"]] = b" " * child["size"]
    with pytest.raises(PermanentFetchError, match=rf"linux/amd64 \({child['digest']}\): the manifest is not JSON"):
        store.tree(root, AMD64)
