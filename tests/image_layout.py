"""Images made by hand, in an OCI image layout, so that a test knows every byte of them."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

OCI = "application/vnd.oci.image"
EPOCH = "2024-01-01T00:00:00Z"


@dataclass(frozen=True)
class Made:
    """Content that was put into a layout."""

    digest: str
    size: int
    media_type: str
    content: bytes

    def descriptor(self, **more):
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


class ImageLayout:
    """A layout in ``folder``; ``tag`` gives what was made a name, under which skopeo finds it."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._tagged = []

    def blobs(self):
        return sorted((self.folder / "blobs" / "sha256").iterdir())

    def blob(self, content: bytes, media_type: str) -> Made:
        made = Made(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), media_type, content)
        (self.folder / "blobs" / "sha256" / made.digest.partition(":")[2]).write_bytes(content)
        return made

    def document(self, media_type: str, **fields) -> Made:
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode(), media_type)

    def layer(self, files) -> Made:
        """Make a layer of ``files``: path -> bytes, all of them programs."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
        return self.blob(buffer.getvalue(), f"{OCI}.layer.v1.tar")

    def image(self, layers, *, platform="linux/amd64", command=(), **fields) -> Made:
        system, architecture, *variant = platform.split("/")
        config = {
            "created": EPOCH,
            "os": system,
            "architecture": architecture,
            **({"variant": variant[0]} if variant else {}),
            "config": {"Cmd": list(command)} if command else {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
        made = self.blob(json.dumps(config).encode(), f"{OCI}.config.v1+json")
        return self.manifest(made, layers, **fields)

    def manifest(self, config, layers, **fields) -> Made:
        return self.document(
            f"{OCI}.manifest.v1+json",
            config=config.descriptor(),
            layers=[layer.descriptor() for layer in layers],
            **fields,
        )

    def attestation(self, of: Made) -> tuple[Made, dict]:
        """Make what BuildKit attaches to a child of an index; return it and its descriptor."""
        statement = self.blob(b'{"predicateType":"https://example.org/provenance"}', "application/vnd.in-toto+json")
        made = self.image([statement], platform="unknown/unknown")
        annotations = {
            "vnd.docker.reference.digest": of.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        }
        platform = {"os": "unknown", "architecture": "unknown"}
        return made, made.descriptor(platform=platform, annotations=annotations)

    def index(self, descriptors) -> Made:
        return self.document(f"{OCI}.index.v1+json", manifests=list(descriptors))

    def tag(self, name: str, made: Made) -> Made:
        self._tagged.append(made.descriptor(annotations={"org.opencontainers.image.ref.name": name}))
        index = {"schemaVersion": 2, "manifests": self._tagged}
        (self.folder / "index.json").write_text(json.dumps(index))
        return made


def on(platform: str) -> dict:
    """Return the ``platform`` of a descriptor."""
    system, architecture, *variant = platform.split("/")
    return {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
