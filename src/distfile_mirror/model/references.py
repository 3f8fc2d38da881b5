"""References to container images, as people have them at hand, brought to one identity.

An image is registry, repository and digest; a tag moves, so it identifies nothing, and is kept as
a note at most. A registry is ``host[:port][/path]``: what stands before ``/v2/`` in its addresses,
without the scheme, which is a matter of how to get there. Docker Hub has several names and is one
registry; its one-word repositories are below ``library/``.
"""

import re
from dataclasses import dataclass

from distfile_mirror.model.digests import Digest, parse_digest
from distfile_mirror.model.uris import DEFAULT_PORTS, parse_authority

DOCKER_HUB = "docker.io"
# Its API is at none of the names that people write.
DOCKER_HUB_API = "registry-1.docker.io"
DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_API})
MAX_NAME_CHARACTERS = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
# OCI distribution specification 1.1, Pulling manifests.
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image as somebody refers to it. ``registry`` and ``repository`` are normalised; ``tag`` may be empty."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{_unmistakable(self.registry)}/{self.repository}{tag}{digest}"


def parse_reference(text: str) -> ImageReference:
    """Read ``[registry/]repository[:tag][@digest]``; without a registry it is Docker Hub's.

    A registry below a path cannot be written so; see ``make_reference``.

    Raises:
        ValueError: saying what is wrong with ``text``.
    """
    text = text.strip().removeprefix("docker://")
    if "://" in text:
        message = "this is a URI; write registry/repository@digest, or give registry, repository and digest apart"
        raise ValueError(message)
    rest, at, digest = text.partition("@")
    first, slash, name = rest.partition("/")
    # As all clients tell a host from the first part of a name.
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, name = DOCKER_HUB, rest
    name, _colon, tag = name.partition(":")
    return make_reference(first, name, tag=tag if _colon else None, digest=digest if at else None)


def make_reference(
    registry: str, repository: str, *, tag: str | None = None, digest: str | None = None
) -> ImageReference:
    """Make a reference of its parts; ``registry`` may be a URI. None: there is no such part.

    Raises:
        ValueError: saying which part is wrong.
    """
    registry = normalise_registry(registry)
    return ImageReference(
        registry,
        normalise_repository(repository, registry),
        "" if tag is None else check_tag(tag),
        None if digest is None else parse_digest(digest),
    )


def normalise_registry(text: str) -> str:
    """Bring ``host[:port][/path]``, or such a URI, to the form in which registries are compared.

    Raises:
        ValueError: if it names none.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "https", text.strip()
    host, _slash, path = rest.partition("/")
    if "@" in host:  # no message repeats them
        message = "the registry carries credentials; they belong into the setting registry_credentials_file"
        raise ValueError(message)
    if scheme.lower() not in DEFAULT_PORTS:
        message = f"{text!r}: registries speak https, or http where configured"
        raise ValueError(message)
    path = ("/" + path).rstrip("/")
    if not _PATH.fullmatch(path):
        message = f"{text!r} has a path that no registry has"
        raise ValueError(message)
    authority = parse_authority(host, default_port=DEFAULT_PORTS[scheme.lower()])
    name = authority.for_scheme("https") + path.removesuffix("/v2")
    return DOCKER_HUB if name in DOCKER_HUB_NAMES else name


def normalise_repository(text: str, registry: str) -> str:
    """Check a repository's name, and bring Docker Hub's one-word ones to ``library/``.

    Raises:
        ValueError: if no repository can have it.
    """
    name = text.strip().strip("/")
    if not name:
        message = "the reference names no repository"
        raise ValueError(message)
    if not _NAME.fullmatch(name):
        hint = "; it is written in lower case" if _NAME.fullmatch(name.lower()) else ""
        message = f"{name!r} is not the name of a repository{hint}"
        raise ValueError(message)
    if registry == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    if len(name) > MAX_NAME_CHARACTERS:
        message = f"the repository's name has {len(name)} characters; at most {MAX_NAME_CHARACTERS} are possible"
        raise ValueError(message)
    return name


def check_tag(text: str) -> str:
    """Return ``text`` if it can be a tag. Raises ValueError."""
    if not _TAG.fullmatch(text):
        message = f"{text!r} is not a tag"
        raise ValueError(message)
    return text


def _unmistakable(registry: str) -> str:
    """Return ``registry`` so that it is not taken for the first part of a name at Docker Hub."""
    host, slash, path = registry.partition("/")
    is_plain = not ("." in host or ":" in host or host == "localhost")
    return f"{host}:{DEFAULT_PORTS['https']}{slash}{path}" if is_plain else registry


def registry_host(registry: str) -> str:
    """Return the ``host[:port]`` at which a normalised registry is asked."""
    host = registry.partition("/")[0]
    return DOCKER_HUB_API if registry == DOCKER_HUB else host


def registry_base(registry: str, *, scheme: str) -> str:
    """Return the address before ``/v2/`` of a normalised registry."""
    path = registry.partition("/")[2]
    return f"{scheme}://{registry_host(registry)}{'/' + path if path else ''}"
