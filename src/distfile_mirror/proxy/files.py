"""A stored file as it is served: its representation headers, made once, and its bytes or an open blob."""

import base64
from dataclasses import dataclass, replace

from distfile_mirror.blobs.store import OpenBlob
from distfile_mirror.catalog.found import FoundContent, FoundFile
from distfile_mirror.catalog.seen import Artifact, ArtifactKind
from distfile_mirror.proxy.responses import Plan, Representation, parse_http_date

# What upstream said of the representation is said again; nothing of it is invented here.
REPLAYED_HEADERS = ("Content-Type", "Content-Encoding", "Content-Disposition", "Last-Modified")
DEFAULT_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file that is present. Small ones have ``body``, larger ones ``blob``; neither: to be opened first.

    ``headers``: header lines that every answer with bytes of it carries, ``whole`` those of all its bytes, and
    ``validators`` those of a 304.
    ``sha256`` is empty where the bytes are in the catalog; ``permanent``: it may be remembered.
    ``artifact``: what is counted as served; None for a part of something.
    """

    sha256: str
    size: int
    representation: Representation
    headers: bytes
    whole: bytes
    validators: bytes
    body: bytes | None = None
    blob: OpenBlob | None = None
    permanent: bool = True
    artifact: Artifact | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether its bytes are at hand."""
        return self.body is not None or (self.blob is not None and not self.blob.is_stale)

    def with_body(self, body: bytes) -> "ServedFile":
        """Return it with its bytes in memory."""
        return replace(self, body=body, blob=None)

    def opened(self, blob: OpenBlob) -> "ServedFile":
        """Return it with its blob, which is closed when nobody has it any more."""
        return replace(self, body=None, blob=blob)

    def closed(self) -> "ServedFile":
        """Return it with neither; answers under way keep what they have."""
        return replace(self, body=None, blob=None)


def served_file(found: FoundFile) -> ServedFile:
    """Prepare a present file for serving."""
    entity_tag = b'"%s"' % found.sha256.encode()
    replayed = {name: found.headers[name] for name in REPLAYED_HEADERS if found.headers.get(name)}
    replayed.setdefault("Content-Type", DEFAULT_CONTENT_TYPE)
    last_modified = replayed.get("Last-Modified", "").encode("latin-1", "replace")
    validators = b"ETag: %s\r\n" % entity_tag
    if last_modified:
        validators += b"Last-Modified: %s\r\n" % last_modified
    lines = [f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in replayed.items()]
    digest = base64.b64encode(bytes.fromhex(found.sha256))
    headers = b"".join(lines) + b"ETag: %s\r\nAccept-Ranges: bytes\r\nRepr-Digest: sha-256=:%s:\r\n" % (
        entity_tag,
        digest,
    )
    return ServedFile(
        sha256=found.sha256,
        size=found.size,
        representation=Representation(found.size, entity_tag, parse_http_date(last_modified)),
        headers=headers,
        whole=_whole(headers, found.size),
        validators=validators,
        artifact=Artifact(ArtifactKind.FILE, found.row_id),
    )


def served_content(found: FoundContent, namespace: str) -> ServedFile:
    """Prepare a manifest or a blob for serving as a registry does; ``namespace``: for OCI-Namespace, or empty."""
    entity_tag = b'"%s"' % found.digest.encode()
    lines = [f"Content-Type: {found.media_type}"]
    if found.permanent:
        lines.append(f"Docker-Content-Digest: {found.digest}")
    if namespace:
        lines.append(f"OCI-Namespace: {namespace}")
    headers = b"".join(f"{line}\r\n".encode("latin-1", "replace") for line in lines)
    headers += b"ETag: %s\r\nAccept-Ranges: bytes\r\n" % entity_tag
    return ServedFile(
        sha256=found.sha256,
        size=found.size,
        representation=Representation(found.size, entity_tag),
        headers=headers,
        whole=_whole(headers, found.size),
        validators=b"ETag: %s\r\n" % entity_tag,
        body=found.content,
        permanent=found.permanent,
        artifact=Artifact(ArtifactKind.IMAGE, found.image_id) if found.image_id else None,
    )


def _whole(headers: bytes, size: int) -> bytes:
    return b"%sContent-Length: %d\r\n" % (headers, size)


def head_of(plan: Plan, file: ServedFile) -> bytes:
    """Return the header lines of an answer according to ``plan``, without those of the connection."""
    if plan.status == 200:  # noqa: PLR2004
        return file.whole
    if plan.status == 206:  # noqa: PLR2004
        span = b"%d-%d/%d" % (plan.first, plan.first + plan.length - 1, file.size)
        return b"%sContent-Range: bytes %s\r\nContent-Length: %d\r\n" % (file.headers, span, plan.length)
    if plan.status == 304:  # noqa: PLR2004
        return file.validators
    if plan.status == 416:  # noqa: PLR2004
        return b"Content-Range: bytes */%d\r\nContent-Length: 0\r\n" % file.size
    return b"Content-Length: 0\r\n"
