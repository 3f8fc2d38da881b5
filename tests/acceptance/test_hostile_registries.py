"""What registries do wrong, each in one test: real servers, real TLS, real catalog and blob store."""

import asyncio
import ipaddress
import json
import os
import random
import socket
import time
from dataclasses import replace

import pytest
from django.utils import timezone

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.catalog.models import (
    Image,
    ImageManifest,
    Manifest,
    ManifestBlob,
    Registry,
    Repository,
    StoredBlob,
)
from distfile_mirror.downloaders.images import run_image_downloader
from distfile_mirror.downloaders.settings import LoopSettings
from distfile_mirror.model.addresses import ConnectTo
from distfile_mirror.model.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX
from distfile_mirror.upstream.registry import RegistrySettings
from distfile_mirror.upstream.registry_credentials import Credentials
from distfile_mirror.upstream.settings import UpstreamSettings
from tests.registry_server import LAYER_TYPE, NAMES, Login, RegistryServer, blob, descriptor, digest_of
from tests.upstream_server import TestAuthority, redirect

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "team/app"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
LAYER = random.Random(1).randbytes(3_000_000)
SMALL = b"a small layer"


class Mirror:
    """A store, a catalog, and a downloader of images that is run until nothing is due."""

    def __init__(self, folder, upstream):
        self.store = DiskBlobStore(folder / "blobs")
        self.store.prepare()
        self.folder = folder
        self.upstream = upstream
        self.registries = RegistrySettings()
        self.loop = LoopSettings(backoff=60, max_backoff=600, poll=0.02, stop_grace=1)

    def declare(self, digest, *platforms, registry="registry.test", name=NAME, with_referrers=False):
        where, _ = Registry.objects.get_or_create(name=registry)
        repository, _ = Repository.objects.get_or_create(registry=where, name=name)
        return Image.objects.create(
            repository=repository,
            digest=digest,
            platforms=list(platforms or ("linux/amd64",)),
            with_referrers=with_referrers,
        )

    def run(self, **changes):
        return asyncio.run(
            run_image_downloader(
                store=self.store,
                settings=self.loop,
                upstream=replace(self.upstream, **changes),
                registries=self.registries,
                run_dir=self.folder / "run",
                watch=False,
                stop=asyncio.Event(),
            )
        )

    def fetch(self, described, *platforms, with_referrers=False, registry="registry.test", name=NAME, **changes):
        """Declare, run, and return the row as it stands then."""
        digest = described if isinstance(described, str) else described["digest"]
        image = self.declare(digest, *platforms, with_referrers=with_referrers, registry=registry, name=name)
        self.run(**changes)
        assert not list((self.folder / "blobs" / "incoming").iterdir())
        return Image.objects.get(pk=image.pk)

    def bytes_of(self, sha256):
        with self.store.open(sha256) as opened:
            return os.pread(opened.fd, opened.size, 0)

    def blobs(self):
        return [path for path in (self.folder / "blobs" / "sha256").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority):
    with RegistryServer(tls=authority.server_context(*NAMES)) as server:
        yield server


@pytest.fixture
def mirror(tmp_path, server, authority):
    settings = UpstreamSettings(
        allow_network=LOOPBACK,
        connect_to=(ConnectTo("", 443, "127.0.0.1", server.port),),
        upstream_ca=authority.ca_file,
        connect_timeout=5,
        stall_timeout=5,
        total_timeout=30,
    )
    return Mirror(tmp_path, settings)


def assert_present(mirror, image, *roles):
    """The image is whole: the manifests that it has by role, every blob under its digest."""
    assert image.state == "present", image.message
    parts = ImageManifest.objects.filter(image=image).order_by("pk")
    assert sorted(part.role for part in parts) == sorted(roles or ["image"])
    sizes = {}
    for part in parts:
        algorithm = part.manifest.digest.partition(":")[0]
        assert digest_of(bytes(part.manifest.content), algorithm) == part.manifest.digest
        sizes[part.manifest.digest] = len(part.manifest.content)
        for each in ManifestBlob.objects.filter(manifest=part.manifest):
            content = mirror.bytes_of(each.sha256)
            assert digest_of(content, each.digest.partition(":")[0]) == each.digest
            assert len(content) == each.size
            sizes[each.digest] = each.size
    assert image.size == sum(sizes.values())


def assert_failed(image, *words):
    assert image.state == "failed", (image.state, image.message)
    _assert_nothing_half_made(image, words)


def assert_retried(image, *words):
    assert image.state == "pending", (image.state, image.message)
    assert image.attempts >= 1
    _assert_nothing_half_made(image, words)


def _assert_nothing_half_made(image, words):
    for word in words:
        assert word in image.message, image.message
    assert not Manifest.objects.exists()
    assert not ManifestBlob.objects.exists()
    assert "secret" not in image.message


def test_good_image(mirror, server):
    described = server.push_image(NAME, [LAYER, SMALL, SMALL], media_type=DOCKER_MANIFEST)
    image = mirror.fetch(described)
    assert_present(mirror, image)
    assert image.media_type == DOCKER_MANIFEST
    assert image.received_bytes == image.total_bytes == image.size
    assert len(mirror.blobs()) == 3
    assert server.counted("/blobs/") == 3
    roles = ManifestBlob.objects.order_by("pk").values_list("role", flat=True)
    assert list(roles) == ["config", "layer", "layer"]
    asked = server.asked(f"/v2/{NAME}/manifests/{described['digest']}")[0].headers
    assert "application/vnd.oci.image.index.v1+json" in asked["accept"]
    assert "authorization" not in asked


def test_docker_hub(mirror, server):
    described = server.push_image("library/debian", [SMALL])
    assert_present(mirror, mirror.fetch(described, registry="docker.io", name="library/debian"))
    assert {request.host for request in server.requests} == {"registry-1.docker.io"}


def test_what_is_stored_is_not_fetched_again(mirror, server):
    first, second = server.push_image(NAME, [LAYER, SMALL]), server.push_image("other/app", [LAYER, b"more"])
    assert_present(mirror, mirror.fetch(first))
    assert_present(mirror, mirror.fetch(second, name="other/app"))
    assert server.counted(digest_of(LAYER)) == 1


def test_a_layer_of_many_images_is_fetched_once(mirror, server):
    images = [server.push_image(NAME, [LAYER, bytes([number])]) for number in range(8)]
    rows = [mirror.declare(each["digest"]) for each in images]
    slow = blob(LAYER)
    server.faults[f"/v2/{NAME}/blobs/{digest_of(LAYER)}"] = lambda exchange: (time.sleep(0.3), slow(exchange))
    mirror.run()
    for row in rows:
        assert_present(mirror, Image.objects.get(pk=row.pk))
    assert server.counted(digest_of(LAYER)) == 1


def test_sha512(mirror, server):
    described = server.push_image(NAME, [LAYER, SMALL], algorithm="sha512")
    assert described["digest"].startswith("sha512:")
    assert_present(mirror, mirror.fetch(described))
    again = server.push_image(NAME, [LAYER, b"more"], algorithm="sha512")
    assert_present(mirror, mirror.fetch(again))
    assert server.counted(digest_of(LAYER, "sha512")) == 1
    assert StoredBlob.objects.count() == 4


def two_platforms(server, **options):
    amd64 = server.push_image(NAME, [b"amd64", SMALL], platform="linux/amd64")
    arm64 = server.push_image(NAME, [b"arm64", SMALL], platform="linux/arm64/v8")
    attestation = server.push_image(NAME, [b"provenance"], config=b"{ }", artifactType="x/attestation")
    attestation["platform"] = {"os": "unknown", "architecture": "unknown"}
    attestation["annotations"] = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": amd64["digest"],
    }
    return server.push_index(NAME, [amd64, arm64, attestation], **options), amd64, arm64, attestation


@pytest.mark.parametrize(
    ("platforms", "roles", "layers"),
    [
        (["linux/amd64"], ["image", "child", "attestation"], {b"amd64", SMALL, b"provenance"}),
        (["linux/arm64"], ["image", "child"], {b"arm64", SMALL}),
        (["all"], ["image", "child", "child", "attestation"], {b"amd64", b"arm64", SMALL, b"provenance"}),
        (["none"], ["image"], set()),
    ],
)
def test_index(mirror, server, platforms, roles, layers):
    index = two_platforms(server)[0]
    image = mirror.fetch(index, *platforms)
    assert_present(mirror, image, *roles)
    assert image.media_type == OCI_INDEX
    rows = ManifestBlob.objects.filter(role="layer")
    assert {mirror.bytes_of(row.sha256) for row in rows} == layers
    children = ImageManifest.objects.filter(role="child").values_list("platform", flat=True)
    assert set(children) <= {"linux/amd64", "linux/arm64"}


def test_more_platforms_later(mirror, server):
    index = two_platforms(server)[0]
    image = mirror.fetch(index, "linux/amd64")
    Image.objects.filter(pk=image.pk).update(state="pending", due_at=timezone.now(), platforms=["all"])
    mirror.run()
    assert_present(mirror, Image.objects.get(pk=image.pk), "image", "child", "child", "attestation")
    assert server.counted(digest_of(SMALL)) == 1


def test_platform_that_is_not_there(mirror, server):
    index = two_platforms(server)[0]
    assert_failed(mirror.fetch(index, "linux/s390x"), "linux/s390x", "linux/amd64, linux/arm64")


def test_index_within_an_index(mirror, server):
    inner = two_platforms(server)[0]
    outer = server.push_index(NAME, [inner])
    assert_present(mirror, mirror.fetch(outer, "linux/arm64"), "image", "child", "child")


def test_indexes_too_deep_within_each_other(mirror, server):
    described = server.push_image(NAME, [SMALL], platform="linux/amd64")
    for _ in range(4):
        described = server.push_index(NAME, [described])
    assert_failed(mirror.fetch(described), "more than 4 deep")


def test_index_that_pretends_to_be_in_itself(mirror, server):
    """No digest can be of what has itself in it, so this is what a cycle comes to: something else under a digest."""
    claimed = "sha256:" + "0" * 64
    looped = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_INDEX, "digest": claimed, "size": 1}],
    }
    server.manifests[NAME, claimed] = json.dumps(looped).encode(), OCI_INDEX
    assert_failed(mirror.fetch(claimed), "something else under this digest")
    outer = server.push_index(NAME, [{"mediaType": OCI_INDEX, "digest": claimed, "size": 1}])
    assert_failed(mirror.fetch(outer), claimed, "something else")


def test_artifact_with_a_subject_and_embedded_data(mirror, server):
    empty = descriptor(b"{}", "application/vnd.oci.empty.v1+json", data="e30=")
    subject = server.push_image(NAME, [SMALL])
    described = server.push_manifest(
        NAME,
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "text/x",
            "config": empty,
            "layers": [empty],
            "subject": subject,
        },
    )
    assert_present(mirror, mirror.fetch(described))
    assert not server.counted("/blobs/")
    assert Manifest.objects.get().subject == subject["digest"]
    assert Manifest.objects.get().artifact_type == "text/x"


def test_foreign_layer(mirror, server):
    foreign = descriptor(
        b"from elsewhere", LAYER_TYPE, urls=["ftp://cdn.test/x", "https://cdn.test/gone", "https://cdn.test/layer"]
    )
    server.routes["cdn.test/layer"] = blob(b"from elsewhere")
    described = server.push_image(NAME, [foreign])
    assert_present(mirror, mirror.fetch(described))
    targets = [request.target for request in server.requests if "manifests" not in request.target]
    assert targets[-2:] == ["/gone", "/layer"]


def test_foreign_layer_that_nobody_has(mirror, server):
    foreign = descriptor(b"from elsewhere", LAYER_TYPE, urls=["https://cdn.test/gone"])
    described = server.push_image(NAME, [foreign])
    assert_failed(mirror.fetch(described), "no source has it", "registry.test", "https://cdn.test/gone")


# What it does wrong


def test_wrong_digest_of_the_manifest(mirror, server):
    described = server.push_image(NAME, [SMALL])
    server.faults[f"/v2/{NAME}/manifests/{described['digest']}"] = lambda exchange: exchange.respond(b'{"other": 1}')
    assert_failed(
        mirror.fetch(described), described["digest"], "something else under this digest", digest_of(b'{"other": 1}')
    )


def test_wrong_digest_of_a_layer(mirror, server):
    described = server.push_image(NAME, [LAYER])
    server.blobs[digest_of(LAYER)] = LAYER[::-1]
    image = mirror.fetch(described)
    assert_failed(image, f"layer {digest_of(LAYER)}", "not what the manifest says", digest_of(LAYER[::-1]))
    assert digest_of(LAYER[::-1]).partition(":")[2] not in {path.name for path in mirror.blobs()}


def test_wrong_size_of_a_layer(mirror, server):
    wrong = {**server.push_blob(LAYER), "size": len(LAYER) + 1}
    assert_failed(mirror.fetch(server.push_image(NAME, [wrong])), f"{len(LAYER) + 1} bytes", f"has {len(LAYER)}")


@pytest.mark.parametrize(("more", "word"), [(-1, "gave at least"), (1, f"gave {len(LAYER)}")])
def test_wrong_size_of_a_layer_without_a_length(mirror, server, more, word):
    def chunked(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        exchange.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAYER), LAYER))

    wrong = {**server.push_blob(LAYER), "size": len(LAYER) + more}
    server.faults[f"/v2/{NAME}/blobs/{digest_of(LAYER)}"] = chunked
    assert_failed(mirror.fetch(server.push_image(NAME, [wrong])), word)


def test_wrong_size_of_a_layer_that_is_stored(mirror, server):
    assert mirror.fetch(server.push_image(NAME, [LAYER])).state == "present"
    wrong = {**server.push_blob(LAYER), "size": 5}
    image = mirror.fetch(server.push_image(NAME, [wrong]))
    assert image.state == "failed"
    assert "has 5 bytes" in image.message


def test_index_that_is_wrong_about_a_size(mirror, server):
    child = server.push_image(NAME, [SMALL], platform="linux/amd64") | {"size": 7}
    assert_failed(mirror.fetch(server.push_index(NAME, [child])), "linux/amd64", "7 bytes")


def test_truncated_layer(mirror, server):
    def truncated(exchange):
        exchange.head(headers={"Content-Length": len(LAYER)})
        exchange.send(LAYER[:500_000])
        exchange.close()

    described = server.push_image(NAME, [LAYER, SMALL])
    server.faults[f"/v2/{NAME}/blobs/{digest_of(LAYER)}"] = truncated
    assert_retried(mirror.fetch(described), f"layer {digest_of(LAYER)}", "cut after 500000 bytes")


def cut_once(content, at):
    whole = blob(content)

    def handle(exchange):
        if exchange.number > 1:
            whole(exchange)
            return
        exchange.head(headers={"Content-Length": len(content), "ETag": '"host-1"'})
        exchange.send(content[:at])
        time.sleep(0.2)
        exchange.reset()

    return handle


def test_layer_goes_on_after_a_cut(mirror, server):
    described = server.push_image(NAME, [LAYER])
    path = f"/v2/{NAME}/blobs/{digest_of(LAYER)}"
    server.faults[path] = cut_once(LAYER, 1_700_000)
    image = mirror.fetch(described)
    assert_present(mirror, image)
    assert image.received_bytes == image.size
    assert [request.range_start for request in server.asked(path)] == [None, 1_700_000]


def test_blob_missing_upstream(mirror, server):
    described = server.push_image(NAME, [LAYER, SMALL])
    del server.blobs[digest_of(SMALL)]
    assert_failed(mirror.fetch(described), f"layer {digest_of(SMALL)}", "registry.test does not have it")


def test_child_missing_upstream(mirror, server):
    index, amd64, *_ = two_platforms(server)
    del server.manifests[NAME, amd64["digest"]]
    assert_failed(mirror.fetch(index), amd64["digest"], "does not have it")


def test_manifest_missing_upstream(mirror, server):
    assert_failed(mirror.fetch("sha256:" + "1" * 64), "registry.test does not have it", "404")


def test_manifest_that_is_not_json(mirror, server):
    assert_failed(mirror.fetch(server.push_manifest(NAME, b"<html>")), "not JSON")


def test_manifest_that_is_too_large(mirror, server):
    described = server.push_manifest(NAME, b'{"x": "' + b"x" * (4 << 20) + b'"}')
    assert_failed(mirror.fetch(described), "at most 4194304")

    def endless(exchange):
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        while True:
            exchange.send(b"10000\r\n" + bytes(65536) + b"\r\n")

    described = server.push_manifest(NAME, b"{}")
    server.faults[f"/v2/{NAME}/manifests/{described['digest']}"] = endless
    assert_failed(mirror.fetch(described), "at most 4194304")


def test_schema_1(mirror, server):
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    described = server.push_manifest(NAME, {"schemaVersion": 1, "fsLayers": []}, media_type=media_type)
    assert_failed(mirror.fetch(described), "schema 1", "newer")
    index = server.push_manifest(
        NAME,
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_LIST,
            "manifests": [{**described, "platform": {"os": "linux", "architecture": "amd64"}}],
        },
    )
    assert_failed(mirror.fetch(index), "linux/amd64", "schema 1")


def test_too_many_requests(mirror, server):
    described = server.push_image(NAME, [LAYER])
    server.faults[f"/v2/{NAME}/blobs/{digest_of(LAYER)}"] = lambda exchange: exchange.respond(
        status=429, reason="Too Many Requests", headers={"Retry-After": "30"}
    )
    image = mirror.fetch(described)
    assert_retried(image, "asked too often", "registry_credentials_file")
    assert 25 < (image.due_at - timezone.now()).total_seconds() < 31


def test_registry_that_is_down(mirror, server):
    described = server.push_image(NAME, [LAYER])
    server.faults[f"/v2/{NAME}/manifests/{described['digest']}"] = lambda exchange: exchange.respond(
        status=503, reason="Later"
    )
    assert_retried(mirror.fetch(described), "503 Later")


def test_what_was_complete_is_kept_when_another_layer_fails(mirror, server):
    described = server.push_image(NAME, [LAYER, SMALL])
    path = f"/v2/{NAME}/blobs/{digest_of(SMALL)}"
    server.faults[path] = lambda exchange: (time.sleep(0.5), exchange.respond(status=502, reason="Bad"))
    assert_retried(mirror.fetch(described), "502 Bad")
    del server.faults[path]
    mirror.loop = replace(mirror.loop, max_attempts=3)
    Image.objects.update(due_at=timezone.now())
    mirror.run()
    assert_present(mirror, Image.objects.get())
    assert server.counted(digest_of(LAYER)) == 1


# Logins


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_anonymous_token(mirror, server, key):
    server.login = Login()
    described = server.push_image(NAME, [LAYER, SMALL])
    if key != "token":
        server.login.give_token = lambda exchange, give=server.login.give_token: give(_renamed(exchange, key))
    assert_present(mirror, mirror.fetch(described))
    assert server.login.issued == 1
    assert server.counted("/token?") == 1
    asked = next(request for request in server.requests if "/token" in request.target)
    assert "service=registry.test" in asked.target
    assert "scope=repository%3Ateam%2Fapp%3Apull" in asked.target


def _renamed(exchange, key):
    respond = exchange.respond
    exchange.respond = lambda body: respond(body.replace(b'"token"', f'"{key}"'.encode()))
    return exchange


def test_token_that_expires_in_the_middle(mirror, server):
    server.login = Login(uses=3)
    mirror.loop = replace(mirror.loop, concurrency_per_image=1)
    described = server.push_image(NAME, [bytes([number]) * 1000 for number in range(10)])
    assert_present(mirror, mirror.fetch(described))
    assert server.login.issued == 4


def test_token_that_says_when_it_expires(mirror, server):
    server.login = Login(answer={"expires_in": 1})
    mirror.loop = replace(mirror.loop, concurrency_per_image=1)
    described = server.push_image(NAME, [b"one", b"two"])
    path = f"/v2/{NAME}/blobs/{digest_of(b'one')}"
    server.faults[path] = lambda exchange: (time.sleep(1), exchange.respond(b"one"))
    assert_present(mirror, mirror.fetch(described))
    assert server.login.issued == 2


def test_token_that_is_refused(mirror, server):
    server.login = Login(uses=0)
    described = server.push_image(NAME, [LAYER])
    assert_failed(mirror.fetch(described), "the token was refused", "private", "registry_credentials_file")
    assert server.login.issued == 1


def test_nobody_gets_a_token(mirror, server):
    server.login = Login(users={"ann": "secret"})
    described = server.push_image(NAME, [LAYER])
    assert_failed(mirror.fetch(described), "auth.test", "private", "registry_credentials_file")
    mirror.registries = RegistrySettings(credentials={"registry.test": Credentials("ann", "secret2")})
    assert_failed(mirror.fetch(server.push_image(NAME, [SMALL])), "does not take the credentials")


@pytest.mark.parametrize("name", ["registry.test", "registry.test/team", "registry.test/team/app"])
@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_credentials(mirror, server, name, scheme):
    server.login = Login(scheme=scheme, users={"ann": "sec:ret"})
    mirror.registries = RegistrySettings(credentials={name: Credentials("ann", "sec:ret")})
    assert_present(mirror, mirror.fetch(server.push_image(NAME, [LAYER, SMALL])))


def test_identity_token(mirror, server):
    server.login = Login(refresh_tokens={"long-lived"})
    mirror.registries = RegistrySettings(credentials={"registry.test": Credentials(identity_token="long-lived")})
    assert_present(mirror, mirror.fetch(server.push_image(NAME, [SMALL])))
    assert [request.method for request in server.requests if request.target == "/token"] == ["POST"]


def test_registry_token(mirror, server):
    server.login = Login(valid={"given": 100})
    mirror.registries = RegistrySettings(credentials={"registry.test": Credentials(registry_token="given")})
    assert_present(mirror, mirror.fetch(server.push_image(NAME, [SMALL])))
    server.login.valid["given"] = 0
    assert "the token was refused" in mirror.fetch(server.push_image(NAME, [b"other"])).message


def test_basic_without_credentials(mirror, server):
    server.login = Login(scheme="Basic", users={"ann": "secret"})
    assert_failed(mirror.fetch(server.push_image(NAME, [SMALL])), "private", "registry_credentials_file")


def test_token_address_without_tls(mirror, server):
    server.login = Login(realm="http://auth.test/token")
    assert_failed(mirror.fetch(server.push_image(NAME, [SMALL])), "http://auth.test", "plain_http_registries")


def test_token_address_that_is_private(mirror, server):
    server.login = Login(realm="https://169.254.169.254/token")
    only = (ConnectTo("registry.test", 443, "127.0.0.1", server.port),)
    image = mirror.fetch(server.push_image(NAME, [SMALL]), connect_to=only)
    assert_failed(image, "169.254.169.254", "allow_network")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"token": "a\\r\\nX: y"}'])
def test_token_address_that_gives_no_token(mirror, server, answer):
    server.login = Login()
    server.login.give_token = lambda exchange: exchange.respond(answer)
    assert_failed(mirror.fetch(server.push_image(NAME, [SMALL])), "no token for registry.test/team/app")


def test_token_address_that_has_been_asked_too_often(mirror, server):
    server.login = Login()
    server.login.give_token = lambda exchange: exchange.respond(
        status=429, reason="Slowly", headers={"Retry-After": "9"}
    )
    image = mirror.fetch(server.push_image(NAME, [SMALL]))
    assert_retried(image, "429 Slowly")
    assert 5 < (image.due_at - timezone.now()).total_seconds() < 10


def test_blobs_elsewhere_see_no_credentials(mirror, server, authority):
    server.login = Login(users={"ann": "secret"})
    mirror.registries = RegistrySettings(credentials={"registry.test": Credentials("ann", "secret")})
    described = server.push_image(NAME, [LAYER])
    server.redirect_blobs = "https://cdn.test"
    for content in (LAYER, b"{}"):
        # One goes straight on, the other one is sent back to the registry's own host.
        server.routes[f"cdn.test/{digest_of(content)}?X-Signature=verysecret"] = (
            blob(content) if content is LAYER else redirect("https://registry.test/stored")
        )
    server.routes["registry.test/stored"] = blob(b"{}")
    assert_present(mirror, mirror.fetch(described))
    elsewhere = [request for request in server.requests if request.host == "cdn.test" or request.target == "/stored"]
    assert len(elsewhere) == 3
    assert not any("authorization" in request.headers for request in elsewhere)


def test_faults_elsewhere_do_not_show_signed_addresses(mirror, server):
    described = server.push_image(NAME, [LAYER])
    server.redirect_blobs = "https://cdn.test"
    image = mirror.fetch(described)
    assert_failed(image, "404", "cdn.test")
    assert "X-Signature" not in image.message


def test_redirect_to_a_private_address(mirror, server):
    described = server.push_image(NAME, [LAYER])
    server.redirect_blobs = "https://10.0.0.1"
    only = (ConnectTo("registry.test", 443, "127.0.0.1", server.port),)
    assert_failed(mirror.fetch(described, connect_to=only), "10.0.0.1", "allow_network")


class PlainServer(RegistryServer):
    """Plain HTTP, and says so to those who try TLS."""

    def _converse(self, connection):
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
            connection.recv(1 << 16)
        else:
            super()._converse(connection)


def test_plain_http_only_where_configured(mirror):
    with PlainServer() as server:
        registry = f"127.0.0.1:{server.port}"
        described = server.push_image(NAME, [SMALL])
        assert_retried(mirror.fetch(described, registry=registry), "no TLS connection", "plain_http_registries")
        mirror.registries = RegistrySettings(plain_http=frozenset({registry}))
        server.login = Login(realm=f"http://{registry}/token")
        Image.objects.update(due_at=timezone.now())
        mirror.run()
        assert_present(mirror, Image.objects.get())


def test_registry_below_a_path(mirror, authority, tmp_path):
    described = {}

    class Below(RegistryServer):
        def handler_for(self, request):
            assert request.target.startswith("/mirror/v2/")
            return super().handler_for(replace(request, target=request.target.removeprefix("/mirror")))

    with Below(tls=authority.server_context(*NAMES)) as server:
        described = server.push_image(NAME, [SMALL])
        rules = (ConnectTo("", 443, "127.0.0.1", server.port),)
        assert_present(mirror, mirror.fetch(described, registry="registry.test/mirror", connect_to=rules))


# Referrers


def signed(server, described, **options):
    return server.push_image(
        NAME, [b"signature of " + described["digest"].encode()], subject=described, artifactType="x/sig", **options
    )


@pytest.mark.parametrize("page_size", [1000, 1])
def test_referrers(mirror, server, page_size):
    server.page_size = page_size
    index, amd64, arm64, _ = two_platforms(server)
    wanted = [signed(server, index), signed(server, amd64, config=b"{ }"), signed(server, amd64, config=b"{  }")]
    signed(server, arm64)
    image = mirror.fetch(index, with_referrers=True)
    assert_present(mirror, image, "image", "child", "attestation", *["referrer"] * 3)
    kept = ImageManifest.objects.filter(role="referrer").values_list("manifest__digest", flat=True)
    assert set(kept) == {each["digest"] for each in wanted}
    assert set(Manifest.objects.exclude(subject="").values_list("artifact_type", flat=True)) == {"x/sig"}


def test_referrers_are_kept_only_where_asked_for(mirror, server):
    described = server.push_image(NAME, [SMALL])
    signed(server, described)
    assert_present(mirror, mirror.fetch(described))
    assert not server.counted("/referrers/")


def test_referrers_by_tags(mirror, server):
    server.knows_referrers = False
    described = server.push_image(NAME, [SMALL])
    stem = described["digest"].replace(":", "-")
    for suffix in (".sig", ".att", ".sbom"):
        server.push_image(NAME, [suffix.encode()], tag=stem + suffix)
    stale = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "2" * 64, "size": 9}
    server.push_index(NAME, [signed(server, described), stale], tag=stem)
    image = mirror.fetch(described, with_referrers=True)
    assert_present(mirror, image, "image", *["referrer"] * 5)
    tags = ImageManifest.objects.filter(role="referrer").values_list("tag", flat=True)
    assert sorted(tags) == sorted(["", stem, stem + ".att", stem + ".sbom", stem + ".sig"])


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_registry_that_knows_no_referrers(mirror, server, status):
    described = server.push_image(NAME, [SMALL])
    server.faults[f"/v2/{NAME}/referrers/{described['digest']}"] = lambda exchange: exchange.respond(status=status)
    assert_present(mirror, mirror.fetch(described, with_referrers=True))


def test_referrer_that_is_wrong(mirror, server):
    described = server.push_image(NAME, [SMALL])
    signature = signed(server, described)
    layer = b"signature of " + described["digest"].encode()
    server.blobs[digest_of(layer)] = layer[::-1]
    assert_failed(
        mirror.fetch(described, with_referrers=True), "referrer", signature["digest"], "not what the manifest"
    )
