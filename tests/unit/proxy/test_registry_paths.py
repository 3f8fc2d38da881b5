"""From URLs to what they ask of a registry, under its own address and of this server as a mirror."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.uris import Authority
from distfile_mirror.proxy.decide import Refuse, Serve, ServeOwn, ServeRegistryBase, decide
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest, parse_mirror_target, parse_registry_target
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.routes import Channel

DIGEST = "sha256:" + "ab" * 32
HUB = (("docker.io", "library/debian"),)
DIRECT = Channel(own_hosts=frozenset({b"mirror:3128"}), own_port=3128)


@pytest.mark.parametrize(
    ("authority", "target", "expected"),
    [
        ("ghcr.io", f"/v2/org/name/manifests/{DIGEST}", (Kind.MANIFEST, (("ghcr.io", "org/name"),), DIGEST)),
        ("ghcr.io", f"/v2/org/name/blobs/{DIGEST}", (Kind.BLOB, (("ghcr.io", "org/name"),), DIGEST)),
        (
            "ghcr.io",
            f"/v2/org/name/blobs/{DIGEST.replace(':', '%3A')}",
            (Kind.BLOB, (("ghcr.io", "org/name"),), DIGEST),
        ),
        ("registry-1.docker.io", "/v2/library/debian/manifests/12", (Kind.MANIFEST, HUB, "12")),
        ("index.docker.io", f"/v2/debian/blobs/{DIGEST}", (Kind.BLOB, HUB, DIGEST)),
        ("host:5000", f"/v2/a/b/c/referrers/{DIGEST}", (Kind.REFERRERS, (("host:5000", "a/b/c"),), DIGEST)),
        ("host", "/v2/a/tags/list", (Kind.TAGS, (("host", "a"),), "list")),
        ("host", f"/some/path/v2/a/blobs/{DIGEST}", (Kind.BLOB, (("host/some/path", "a"),), DIGEST)),
        ("host", "/v2/blobs/manifests/x", (Kind.MANIFEST, (("host", "blobs"),), "x")),
        ("host", "/v2/", (Kind.BASE, (("host", ""),), "")),
        ("host", "/v2", (Kind.BASE, (("host", ""),), "")),
        ("auth.docker.io", "/token?service=x&scope=y", (Kind.TOKEN, (("docker.io", ""),), "")),
        ("quay.io", "/v2/auth?scope=y", (Kind.TOKEN, (("quay.io", ""),), "")),
        ("host:5000", "/token?scope=y", (Kind.TOKEN, (("host:5000", ""),), "")),
    ],
)
def test_registries(authority, target, expected):
    assert parse_registry_target(authority, target) == RegistryRequest(*expected)


@pytest.mark.parametrize(
    "target", ["/a.tar.gz", "/v2/foo.tar.gz", "/v2/A/manifests/x", "/v2/a/blobs/uploads/", "/v2x/a/blobs/b", "/v2//"]
)
def test_what_is_no_registry(target):
    assert parse_registry_target("host", target) is None


@pytest.mark.parametrize(
    ("target", "candidates", "namespace"),
    [
        ("/v2/library/debian/manifests/x", HUB, ""),
        ("/v2/debian/manifests/x", HUB, ""),
        ("/v2/docker.io/library/debian/manifests/x", HUB, ""),
        ("/v2/docker.io/debian/manifests/x", HUB, ""),
        ("/v2/debian/manifests/x?ns=docker.io", HUB, "docker.io"),
        ("/v2/a/b/manifests/x?ns=host:5000", (("host:5000", "a/b"),), "host:5000"),
        ("/v2/host:5000/a/manifests/x", (("host:5000", "a"),), ""),
        ("/v2/localhost/a/manifests/x", (("localhost", "a"),), ""),
        ("/v2/ghcr.io/a/b/c/manifests/x", (("ghcr.io", "a/b/c"), ("ghcr.io/a", "b/c"), ("ghcr.io/a/b", "c")), ""),
    ],
)
def test_mirrors(target, candidates, namespace):
    found = parse_mirror_target(target)
    assert (found.kind, found.candidates, found.reference) == (Kind.MANIFEST, candidates, "x")
    assert (found.namespace, found.as_mirror) == (namespace, True)


@pytest.mark.parametrize("target", ["/v2/_catalog", "/v2/a", "/v2/A/manifests/x", "/v2/a/manifests/x?ns=a@b"])
def test_what_a_mirror_has_not(target):
    assert parse_mirror_target(target).kind is Kind.OTHER


@given(
    st.text(),
    st.sampled_from(
        ["/v2/{}", "/v2/{}/manifests/x", "/v2/a/blobs/{}", "/{}/v2/a/tags/list", "/v2/a/manifests/x?ns={}"]
    ),
)
def test_whatever_comes(text, shape):
    target = shape.format(text)
    assert isinstance(parse_mirror_target(target), RegistryRequest)
    parse_registry_target("host", target)


def ask(target, channel=DIRECT, host=b"mirror:3128", method=b"GET"):
    return decide(Request(method, target, keep_alive=True, version="1.1", headers={b"host": host}), channel)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/v2/", b"mirror:3128"),
        (b"/v2/", b"unknown-name.test:3128"),
        (b"/v2", b"mirror:3128"),
        (b"http://mirror:3128/v2/", b"mirror:3128"),
        (b"/v2/?ns=docker.io", b"led-here.test"),
    ],
)
def test_asked_directly_it_is_a_mirror(target, host):
    assert isinstance(ask(target, host=host), ServeRegistryBase)


def test_asked_directly_for_an_image():
    target = b"/v2/debian/manifests/x"
    for decision in (ask(target), ask(b"http://mirror:3128" + target)):
        assert decision == Serve("mirror:/v2/debian/manifests/x", parse_mirror_target("/v2/debian/manifests/x"))
    refused = ask(target, method=b"PUT")
    assert (refused.status, refused.code) == (405, "UNSUPPORTED")
    assert isinstance(ask(b"/v2/_catalog"), Refuse)


def test_through_the_proxy_it_is_the_registry():
    tunnel = Channel("https", Authority("ghcr.io", 443))
    decision = ask(b"/v2/org/name/manifests/x", tunnel, host=b"ghcr.io")
    assert decision.uri == "https://ghcr.io/v2/org/name/manifests/x"
    assert decision.registry.candidates == (("ghcr.io", "org/name"),)
    assert isinstance(ask(b"/v2/", tunnel, host=b"ghcr.io"), ServeRegistryBase)
    plain = ask(b"http://host:5000/v2/a/manifests/x", host=b"host:5000")
    assert plain.registry.candidates == (("host:5000", "a"),)


def test_tls_straight_on_the_port_under_the_own_name():
    channel = DIRECT.encrypted("mirror")
    assert isinstance(ask(b"/v2/", channel), ServeRegistryBase)
    assert ask(b"/health", channel) == ServeOwn("/health")
    assert ask(b"/a", channel, host=b"mirror") == Serve("https://mirror/a")
