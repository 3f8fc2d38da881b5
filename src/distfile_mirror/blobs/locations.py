"""Where blobs are kept, as a URL says it: a folder, or a bucket and a prefix in an object store."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

FILE = "file"
S3 = "s3"
_FORMS = {
    FILE: "file:///srv/mirror/blobs",
    S3: "s3://bucket/prefix",
    "gs": "gs://bucket/prefix",
    "az": "az://container/prefix",
}


@dataclass(frozen=True, slots=True)
class BlobsLocation:
    """``scheme``: file, s3, gs or az. ``bucket``: or container; empty for a folder. ``path``: prefix, or the folder."""

    scheme: str
    bucket: str
    path: str

    @property
    def folder(self) -> Path | None:
        """The folder, or None for an object store."""
        return Path(self.path) if self.scheme == FILE else None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{'/' if self.bucket and self.path else ''}{quote(self.path)}"


def parse_blobs_url(text: str) -> BlobsLocation:
    """Read ``text``. Raises ValueError, saying what is wrong with it without repeating secrets."""
    parts = urlsplit(text)
    if "@" in parts.netloc:
        message = "credentials do not belong in the URL, which is logged: give them by environment or files"
        raise ValueError(message)
    if parts.scheme not in _FORMS:
        message = f"{text!r} is no place for blobs; write one such as {' or '.join(_FORMS.values())}"
        raise ValueError(message)
    form = _FORMS[parts.scheme]
    if parts.query or parts.fragment:
        message = f"{text!r} has a query or fragment; write it such as {form}"
        raise ValueError(message)
    path = unquote(parts.path)
    if parts.scheme == FILE:
        if parts.netloc or not path.startswith("/"):
            message = f"{text!r} is not an absolute path; write it with three slashes such as {form}"
            raise ValueError(message)
        return BlobsLocation(FILE, "", path)
    if not parts.netloc:
        message = f"{text!r} names no bucket; write it such as {form}"
        raise ValueError(message)
    if any(part in {"", ".", ".."} for part in path.strip("/").split("/") if path.strip("/")):
        message = f"{text!r} has an empty part or dots in its prefix; write it such as {form}"
        raise ValueError(message)
    return BlobsLocation(parts.scheme, parts.netloc, path.strip("/"))


def parse_endpoint(text: str) -> str:
    """Read the address of a server, without a slash at its end. Raises ValueError, without repeating secrets."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or "@" in parts.netloc:
        message = "write the address of a server without credentials, such as https://s3.example.org:9000"
        raise ValueError(message)
    return text.rstrip("/")
