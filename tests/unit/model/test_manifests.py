"""Manifests: what is needed is found, and what could hide something that is needed is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.digests import digest_of
from distfile_mirror.model.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_BYTES,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    ManifestError,
    chosen_children,
    parse_manifest,
    platforms_of,
)
from distfile_mirror.model.platforms import PlatformChoice, parse_choice

ALL = PlatformChoice(all=True)
NONE = PlatformChoice()


def described(content=b"x", **more):
    return {"mediaType": "x/y", "digest": str(digest_of(content)), "size": len(content), **more}


def image(**changes):
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(b"c"),
        "layers": [described()],
        **changes,
    }


def index(*children, **changes):
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **changes}


def child(platform=None, *, content=b"x", attests=None, media_type=OCI_MANIFEST):
    found = described(content, mediaType=media_type)
    if platform:
        os, architecture, *variant = platform.split("/")
        found["platform"] = {"os": os, "architecture": architecture, "variant": "".join(variant)}
    if attests:
        found["annotations"] = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": attests,
        }
    return found


def parse(document, content_type=""):
    return parse_manifest(json.dumps(document).encode(), content_type)


def without(document, *names):
    return {name: value for name, value in document.items() if name not in names}


def test_image():
    manifest = parse(image(annotations={"a": "b", "c": 1}, subject=described(b"s")))
    assert [(blob.role, blob.size) for blob in manifest.blobs] == [("config", 1), ("layer", 1)]
    assert not manifest.is_index
    assert manifest.artifact_type == "x/y"  # of its config, where it says nothing itself
    assert manifest.subject == digest_of(b"s")
    assert manifest.annotations == {"a": "b"}


@pytest.mark.parametrize(
    ("document", "content_type", "media_type"),
    [
        (image(mediaType=DOCKER_MANIFEST), "", DOCKER_MANIFEST),
        (image(mediaType=OCI_MANIFEST), DOCKER_MANIFEST, OCI_MANIFEST),
        (without(image(), "mediaType"), f"{DOCKER_MANIFEST}; charset=utf-8", DOCKER_MANIFEST),
        (without(image(), "mediaType"), "text/plain", OCI_MANIFEST),
        (without(index(), "mediaType"), "application/json", OCI_INDEX),
        (index(mediaType=DOCKER_LIST), "", DOCKER_LIST),
        ({"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": [described()]}, "", OCI_ARTIFACT),
        ({"mediaType": OCI_ARTIFACT, "artifactType": "a/b"}, "", OCI_ARTIFACT),
    ],
)
def test_media_types(document, content_type, media_type):
    assert parse(document, content_type).media_type == media_type


@pytest.mark.parametrize(
    ("document", "part_of_message"),
    [
        ([], "not a JSON object"),
        ({}, "neither"),
        (image(manifests=[]), "ambiguous"),
        (index(layers=[]), "ambiguous"),
        (image(mediaType=OCI_INDEX), "of the other kind"),
        (index(mediaType=OCI_MANIFEST), "of the other kind"),
        (image(mediaType="application/x-strange"), "application/x-strange"),
        (without(image(), "config"), "config"),
        (without(image(), "layers"), "layers"),
        (image(layers={}), "layers"),
        (image(layers=[None]), r"layers\[0\]"),
        (image(layers=[described() | {"digest": "sha256:x"}]), "no usable digest"),
        (image(layers=[described() | {"size": -1}]), "no usable size"),
        (image(layers=[described() | {"size": 1 << 63}]), "no usable size"),
        (image(layers=[described() | {"size": True}]), "no usable size"),
        (image(layers=[described() | {"size": "1"}]), "no usable size"),
        (image(layers=[described() | {"size": 1.0}]), "no usable size"),
        (image(layers=[described() | {"urls": "https://x.test"}]), "urls"),
        (image(layers=[described() | {"data": "!"}]), "base64"),
        (image(layers=[described() | {"data": 5}]), "base64"),
        (image(layers=[described() | {"data": "eHg="}]), "not what its digest"),
        (image(subject={}), "subject"),
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
        (image(mediaType="application/vnd.docker.distribution.manifest.v1+json"), "schema 1"),
    ],
)
def test_what_cannot_be_mirrored_is_refused_with_a_reason(document, part_of_message):
    with pytest.raises(ManifestError, match=part_of_message):
        parse(document)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{", b'{"a": NaN', b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b'{"a": "\xff"}']
)
def test_what_is_not_json(content):
    with pytest.raises(ManifestError, match=r"not (JSON|a JSON object)"):
        parse_manifest(content)


def test_size_limit():
    with pytest.raises(ManifestError, match=str(MAX_MANIFEST_BYTES)):
        parse_manifest(b" " * (MAX_MANIFEST_BYTES + 1))


def test_embedded_data():
    assert parse(image(config=described(b"{}", data="e30="))).blobs[0].data == b"{}"
    assert parse(image(config=described(b"", data=""))).blobs[0].data == b""


AMD64, ARM, WINDOWS = (
    child("linux/amd64", content=b"1"),
    child("linux/arm/v7", content=b"2"),
    child("windows/amd64", content=b"3"),
)
NAMELESS, NESTED = child(content=b"4"), child(content=b"5", media_type=OCI_INDEX)
ATTESTATION = child("unknown/unknown", content=b"6", attests=AMD64["digest"])
ORPHAN = child("unknown/unknown", content=b"7", attests=str(digest_of(b"nothing")))


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("linux/amd64", [AMD64, NESTED, ATTESTATION]),
        ("linux/arm", [ARM, NESTED]),
        ("linux/s390x", [NESTED]),
        ("unknown/unknown", [NESTED]),
        ("all", [AMD64, ARM, WINDOWS, NAMELESS, NESTED, ATTESTATION, ORPHAN]),
        ("none", []),
    ],
)
def test_children(choice, meant):
    manifest = parse(index(AMD64, ARM, WINDOWS, NAMELESS, NESTED, ATTESTATION, ORPHAN))
    chosen = chosen_children(manifest, parse_choice([choice]))
    assert [str(each.digest) for each in chosen] == [each["digest"] for each in meant]


def test_platforms_of_an_index():
    manifest = parse(index(AMD64, ARM, ARM, NAMELESS, ATTESTATION))
    assert list(map(str, platforms_of(manifest))) == ["linux/amd64", "linux/arm/v7"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "blobs",
    "subject",
    "annotations",
    "artifactType",
)
DESCRIPTOR_NAMES = ("mediaType", "digest", "size", "urls", "data", "platform", "annotations", "artifactType")


@st.composite
def nearly_right(draw):
    """Make a document that is right but for one or two places."""
    document = draw(
        st.sampled_from([image(), index(AMD64, NESTED), {"mediaType": OCI_ARTIFACT, "blobs": [described()]}])
    )
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 2))):
        target = draw(st.sampled_from([document, *_descriptors(document)]))
        target[draw(st.sampled_from(NAMES if target is document else DESCRIPTOR_NAMES))] = draw(json_values)
    return document


def _descriptors(document):
    for name in ("layers", "manifests", "blobs"):
        if isinstance(document.get(name), list):
            yield from (each for each in document[name] if isinstance(each, dict))


@given(nearly_right() | json_values, st.text(max_size=10))
def test_whatever_comes_is_read_or_refused(document, content_type):
    try:
        manifest = parse(document, content_type)
    except ManifestError as error:
        assert str(error)
        return
    assert not (manifest.children and manifest.blobs)
    assert set(chosen_children(manifest, NONE)) == set()
    assert len(chosen_children(manifest, ALL)) == len(manifest.children)
    for each in (*manifest.children, *manifest.blobs):
        assert each.size >= 0
        assert each.data is None or (len(each.data) == each.size and digest_of(each.data) == each.digest)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_read_or_refused(content):
    with pytest.raises(ManifestError):
        parse_manifest(content)


@given(st.lists(st.sampled_from([AMD64, ARM, WINDOWS, NAMELESS, NESTED, ATTESTATION, ORPHAN])), st.data())
def test_more_chosen_is_never_less(children, data):
    platforms = st.lists(st.sampled_from(["linux/amd64", "linux/arm", "windows/amd64", "linux/s390x"]), min_size=1)
    manifest = parse(index(*children))
    less, more = parse_choice(data.draw(platforms)), parse_choice(data.draw(platforms))
    chosen = [str(each.digest) for each in chosen_children(manifest, less)]
    with_more = [str(each.digest) for each in chosen_children(manifest, less.with_more(more))]
    assert set(chosen) <= set(with_more)
