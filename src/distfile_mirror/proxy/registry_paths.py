"""From a URL to what it asks of a registry: OCI distribution specification 1.1, Endpoints. Pure.

A registry is asked under its own address through the proxy, or this server is asked directly, as
a mirror: ``/v2/<name>/…?ns=<registry>`` (containerd), ``/v2/<registry>/<name>/…`` (podman, skopeo,
crane), and ``/v2/<name>/…`` for Docker Hub (Docker's registry-mirrors).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from urllib.parse import parse_qs, unquote

from distfile_mirror.model.references import DOCKER_HUB, DOCKER_HUB_NAMES, normalise_registry, normalise_repository

# Below this is the API, whatever path a registry puts before it.
API = "/v2/"
# Some clients fetch a token from these before they have been asked for one (rules_oci): address -> registry.
TOKEN_ADDRESSES = {
    "auth.docker.io/token": DOCKER_HUB,
    "cgr.dev/token": "cgr.dev",
    "gcr.io/v2/token": "gcr.io",
    "ghcr.io/token": "ghcr.io",
    "gitlab.com/jwt/auth": "registry.gitlab.com",
    "nvcr.io/proxy_auth": "nvcr.io",
    "public.ecr.aws/token": "public.ecr.aws",
    "quay.io/v2/auth": "quay.io",
    "registry.gitlab.com/jwt/auth": "registry.gitlab.com",
}
_TOKEN_PATHS = frozenset({"/token", "/v2/token", "/v2/auth", "/proxy_auth", "/jwt/auth", "/service/token"})
_ENDPOINT = re.compile(r"(?P<name>.+)/(?P<kind>manifests|blobs|referrers|tags)/(?P<reference>[^/]+)")


class Kind(Enum):
    """What of a registry is asked for."""

    BASE = auto()
    MANIFEST = auto()
    BLOB = auto()
    REFERRERS = auto()
    TAGS = auto()
    TOKEN = auto()
    OTHER = auto()


_KINDS = {"manifests": Kind.MANIFEST, "blobs": Kind.BLOB, "referrers": Kind.REFERRERS, "tags": Kind.TAGS}


@dataclass(frozen=True, slots=True)
class RegistryRequest:
    """What is asked of which registry.

    ``candidates``: the pairs of registry and repository that the URL may mean, the likeliest first; only
    this server as a mirror has several, as it cannot tell where a registry's path ends.
    ``reference``: tag or digest. ``namespace``: what ``ns`` said, to be repeated in OCI-Namespace.
    """

    kind: Kind
    candidates: tuple[tuple[str, str], ...] = ()
    reference: str = ""
    artifact_type: str = ""
    namespace: str = ""
    as_mirror: bool = False

    @property
    def registry(self) -> str:
        """The registry, as far as the URL tells."""
        return self.candidates[0][0] if self.candidates else ""

    @property
    def repository(self) -> str:
        """The repository, as far as the URL tells."""
        return self.candidates[0][1] if self.candidates else ""


def parse_registry_target(authority: str, target: str) -> RegistryRequest | None:
    """Read the URL of a registry's own address; None if no registry has such.

    ``authority``: host, and port unless it is 443. ``target``: path and query.
    """
    path, _mark, query = target.partition("?")
    if path in _TOKEN_PATHS or f"{authority}{path}" in TOKEN_ADDRESSES:
        registry = TOKEN_ADDRESSES.get(f"{authority}{path}", authority)
        return RegistryRequest(Kind.TOKEN, ((registry, ""),))
    prefix, found, rest = f"{path}/".partition(API) if path.endswith("/v2") else path.partition(API)
    if not found:
        return None
    try:
        registry = normalise_registry(authority + prefix)
        if not rest:
            return RegistryRequest(Kind.BASE, ((registry, ""),))
        return _endpoint(rest, query, lambda name: _named(registry, name))
    except ValueError:
        return None


def parse_mirror_target(target: str) -> RegistryRequest:
    """Read the URL of this server as a mirror; its path is ``/v2`` or below."""
    path, _mark, query = target.partition("?")
    rest = path.removeprefix("/v2").removeprefix("/")
    namespace = parse_qs(query).get("ns", [""])[0]
    if not rest:
        return RegistryRequest(Kind.BASE, namespace=namespace, as_mirror=True)
    try:
        if namespace:
            registry = normalise_registry(namespace)
            found = _endpoint(rest, query, lambda name: _named(registry, name))
        else:
            found = _endpoint(rest, query, _candidates)
    except ValueError:
        found = None
    return replace(found or RegistryRequest(Kind.OTHER), namespace=namespace, as_mirror=True)


def _endpoint(
    rest: str, query: str, candidates_of: Callable[[str], tuple[tuple[str, str], ...]]
) -> RegistryRequest | None:
    match = _ENDPOINT.fullmatch(unquote(rest) if "%" in rest else rest)
    if not match:
        return None
    artifact_type = parse_qs(query).get("artifactType", [""])[0] if query else ""
    return RegistryRequest(_KINDS[match["kind"]], candidates_of(match["name"]), match["reference"], artifact_type)


def _named(registry: str, name: str) -> tuple[tuple[str, str], ...]:
    return ((registry, normalise_repository(name, registry)),)


def _candidates(name: str) -> tuple[tuple[str, str], ...]:
    """Tell the registry from the repository: a host has a dot or a port in it; all that has neither is Docker Hub's."""
    parts = name.split("/")
    if len(parts) == 1 or not ("." in parts[0] or ":" in parts[0] or parts[0] == "localhost"):
        return _named(DOCKER_HUB, name)
    if parts[0] in DOCKER_HUB_NAMES:
        return _named(DOCKER_HUB, "/".join(parts[1:]))
    splits = (("/".join(parts[:count]), "/".join(parts[count:])) for count in range(1, len(parts)))
    found = []
    for registry, repository in splits:
        with suppress(ValueError):
            normalised = normalise_registry(registry)
            found.append((normalised, normalise_repository(repository, normalised)))
    if not found:
        message = f"{name!r} names no repository"
        raise ValueError(message)
    return tuple(found)
