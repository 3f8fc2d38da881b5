"""Images in every state, made by the use cases themselves."""

import hashlib
import json

from distfile_mirror.catalog import image_queue, moderate
from distfile_mirror.catalog.declare_image import DeclaredImage, ImageDeclaration, declare_image
from distfile_mirror.catalog.image_facts import FetchedBlob, FetchedImage, FetchedManifest, Role
from distfile_mirror.catalog.leases import Failed
from distfile_mirror.catalog.models import Image
from distfile_mirror.model.manifests import OCI_INDEX, OCI_MANIFEST
from tests.unit.catalog.files import LEASE, OWNER

REGISTRY = "registry.test"
REPOSITORY = "team/tool"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def digest_of(content):
    return f"sha256:{sha256(content)}"


def blob(content, media_type=LAYER_TYPE):
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def write(document):
    return json.dumps(document, indent=1).encode()


def manifest(*layers, config=b"{}"):
    blobs = {"config": blob(config, CONFIG_TYPE), "layers": [blob(layer) for layer in layers]}
    return write({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **blobs})


def descriptor(content, platform="", attests=""):
    found = {"mediaType": OCI_MANIFEST, "digest": digest_of(content), "size": len(content)}
    if platform:
        found["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    if attests:
        found["annotations"] = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": attests,
        }
    return found


AMD64 = manifest(b"layer one", b"layer two", b"layer one")
ARM64 = manifest(b"layer one", b"layer three")
ATTESTATION = manifest(b"an attestation")
CHILDREN = [
    descriptor(AMD64, "linux/amd64"),
    descriptor(ARM64, "linux/arm64/v8"),
    descriptor(ATTESTATION, "unknown/unknown", attests=digest_of(AMD64)),
]
INDEX = write({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": CHILDREN})
CONTENTS = {digest_of(content): content for content in (AMD64, ARM64, ATTESTATION, INDEX)}


def declare(content=AMD64, *, actor="alice", approved=True, **given) -> DeclaredImage:
    facts = {
        "registry": REGISTRY,
        "repository": REPOSITORY,
        "digest": digest_of(content),
        "platforms": ["linux/amd64"],
        "project": "firmware",
        "reason": "base of the build",
        **given,
    }
    return declare_image(ImageDeclaration(**facts), actor=actor, approved=approved)


def fetched_manifest(content, role=Role.IMAGE, platform="", **facts):
    document = json.loads(content)
    parts = [("config", document["config"])] if "config" in document else []
    parts += [("layer", layer) for layer in document.get("layers", ())]
    blobs = [
        FetchedBlob(each["digest"], each["digest"].removeprefix("sha256:"), each["size"], each["mediaType"], role_of)
        for role_of, each in parts
    ]
    return FetchedManifest(
        digest_of(content), document["mediaType"], content, role, platform=platform, blobs=blobs, **facts
    )


def arrived(row_id, content=AMD64, children=()):
    manifests = [fetched_manifest(content), *children]
    blobs = {each.digest: each.size for part in manifests for each in part.blobs}
    size = sum(blobs.values()) + sum(len(part.content) for part in manifests)
    return FetchedImage(row_id, json.loads(content)["mediaType"], size, manifests)


def amd64_child():
    return [
        fetched_manifest(AMD64, Role.CHILD, "linux/amd64"),
        fetched_manifest(ATTESTATION, Role.ATTESTATION, subject=digest_of(AMD64)),
    ]


def claim_all():
    return image_queue.claim(OWNER, limit=100, lease=LEASE)


def fetching(content=AMD64, **given) -> Image:
    image = declare(content, **given).image
    claim_all()
    return fresh(image)


def present(content=AMD64, **given) -> Image:
    image = fetching(content, **given)
    image_queue.record(OWNER, [arrived(image.pk, content, amd64_child() if content == INDEX else ())])
    return fresh(image)


def failed(content=AMD64, message="404 Not Found: it is not there", **given) -> Image:
    image = fetching(content, **given)
    image_queue.record(OWNER, [Failed(image.pk, message, None)])
    return fresh(image)


def blocked(content=AMD64, **given) -> Image:
    return moderate.block(Image, present(content, **given).pk, reason="known to be malicious", actor="bob")


def fresh(image) -> Image:
    return Image.objects.get(pk=image.pk)
