"""Asking registries: the pulling part of the OCI distribution specification 1.1.

Everything goes the way of files (the guard, limits, redirects, resumes), with two things more: who
asks is told to the registry and to nobody it redirects to, and content comes under its digest.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from distfile_mirror.errors import MirrorError, PermanentFetchError
from distfile_mirror.model.digests import Digest, digest_of, parse_digest
from distfile_mirror.model.manifests import ACCEPTED_TYPES, MAX_MANIFEST_BYTES, Descriptor, parse_manifest, platforms_of
from distfile_mirror.model.references import registry_base
from distfile_mirror.model.uris import FileUri, parse_file_uri
from distfile_mirror.upstream.access import is_same_origin
from distfile_mirror.upstream.http import Upstream
from distfile_mirror.upstream.registry_credentials import Credentials, find_credentials
from distfile_mirror.upstream.registry_login import Login
from distfile_mirror.upstream.registry_statuses import Wanted, check_registry_status, with_message, without_queries
from distfile_mirror.upstream.settings import Head, Received, Sink
from distfile_mirror.upstream.small_bodies import SmallBody

_ACCEPT_MANIFESTS = {"Accept": ", ".join(ACCEPTED_TYPES)}

_PLAIN_HINT = "; if the registry speaks no TLS, name it in the setting plain_http_registries"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Which registries are asked without TLS, and as whom, by normalised names.

    Those of ``credentials`` may go on with a repository, or the beginning of one.
    """

    plain_http: frozenset[str] = frozenset()
    credentials: Mapping[str, Credentials] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedManifest:
    """The bytes of a manifest as they came; ``content_type`` is what the registry calls them."""

    content: bytes
    content_type: str
    head: Head = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedTag:
    """What a tag means now. ``platforms``: of an index, in its order."""

    digest: str
    media_type: str
    platforms: tuple[str, ...] = ()


class RegistryClient:
    """Asks registries by an ``upstream`` that has been entered; remembers their tokens for as long as they last."""

    def __init__(self, upstream: Upstream, settings: RegistrySettings) -> None:
        self._upstream = upstream
        self._settings = settings
        self._logins: dict[tuple[str, str], Login] = {}

    async def get_manifest(self, registry: str, repository: str, reference: str) -> ReceivedManifest:
        """Get a manifest by its digest, with which its bytes are compared, or by a tag.

        Raises:
            TransientFetchError: if it may work later.
            NotInRegistryError: if the registry does not have it.
            PermanentFetchError: if it will not work by itself.
        """
        digest = parse_digest(reference) if ":" in reference else None
        what = f"{registry}/{repository}{'@' if digest else ':'}{reference}"
        wanted = self._wanted(registry, repository, what)
        received = await self._get_small(f"manifests/{reference}", wanted, by_digest=digest is not None)
        if digest is not None:
            _check_digest(received.content, digest, what)
        return received

    async def get_list(self, registry: str, repository: str, path: str, what: str) -> ReceivedManifest:
        """Get the index that the registry makes at ``path`` (with its query) below the repository.

        Raises:
            TransientFetchError, NotInRegistryError, PermanentFetchError: as get_manifest.
        """
        return await self._get_small(path, self._wanted(registry, repository, what), by_digest=False)

    async def _get_small(self, path: str, wanted: Wanted, *, by_digest: bool) -> ReceivedManifest:
        body = SmallBody(wanted.what, MAX_MANIFEST_BYTES)
        received = await self._fetch(path, wanted, body, headers=_ACCEPT_MANIFESTS, by_digest=by_digest)
        return ReceivedManifest(body.content, received.head.headers.get("Content-Type", ""), received.head)

    async def fetch_blob(self, registry: str, repository: str, descriptor: Descriptor, sink: Sink) -> Received:
        """Fetch the blob that ``descriptor`` describes; comparing the bytes with it is the caller's.

        Raises:
            TransientFetchError, NotInRegistryError, PermanentFetchError: as get_manifest.
            StorageError: whatever the sink raises.
        """
        wanted = self._wanted(registry, repository, f"{registry}/{repository}, blob {descriptor.digest}")
        return await self._fetch(f"blobs/{descriptor.digest}", wanted, sink, headers={}, by_digest=True)

    async def resolve(self, registry: str, repository: str, tag: str) -> ResolvedTag:
        """Tell what ``tag`` means now: the digest is that of the bytes, whatever header fields say.

        Raises:
            TransientFetchError, NotInRegistryError, PermanentFetchError: as get_manifest, and for what is no manifest.
        """
        received = await self.get_manifest(registry, repository, tag)
        manifest = parse_manifest(received.content, received.content_type)
        platforms = tuple(map(str, platforms_of(manifest)))
        return ResolvedTag(str(digest_of(received.content)), manifest.media_type, platforms)

    def address(self, registry: str, repository: str, path: str) -> str:
        """Return the address of ``path`` below a repository, of normalised names."""
        scheme = "http" if registry in self._settings.plain_http else "https"
        return f"{registry_base(registry, scheme=scheme)}/v2/{repository}/{path}"

    async def _fetch(
        self, path: str, wanted: Wanted, sink: Sink, *, headers: Mapping[str, str], by_digest: bool
    ) -> Received:
        uri = self.address(wanted.registry, wanted.repository, path)
        login = self._login(wanted.registry, wanted.repository)
        access = _RepositoryAccess(parse_file_uri(uri), login, headers, wanted)
        try:
            # What comes by a tag has no digest to compare with, but it is JSON: a cut shows.
            return await self._upstream.fetch(uri, sink, checked=True, by_digest=by_digest, access=access)
        except MirrorError as error:
            hint = _PLAIN_HINT if _is_no_tls(error.__cause__) else ""
            raise with_message(error, without_queries(str(error)) + hint) from error.__cause__

    def _wanted(self, registry: str, repository: str, what: str) -> Wanted:
        return Wanted(registry, repository, what, self._login(registry, repository).has_credentials)

    def _login(self, registry: str, repository: str) -> Login:
        key = registry, repository
        if key not in self._logins:
            self._logins[key] = Login(
                self._upstream.fetch,
                registry,
                repository,
                find_credentials(self._settings.credentials, registry, repository),
                plain_http=registry in self._settings.plain_http,
            )
        return self._logins[key]


class _RepositoryAccess:
    """Asks for something of a repository, in the name of whom ``login`` knows."""

    form = None

    def __init__(self, home: FileUri, login: Login, headers: Mapping[str, str], wanted: Wanted) -> None:
        self._home = home
        self._login = login
        self._headers = headers
        self._wanted = wanted

    def is_home(self, uri: FileUri) -> bool:
        """See Access.is_home."""
        return is_same_origin(uri, self._home)

    def headers(self, *, at_home: bool) -> Mapping[str, str]:
        """See Access.headers."""
        authorization = self._login.header() if at_home else ""
        return {**self._headers, "Authorization": authorization} if authorization else self._headers

    async def renew(self, head: Head, sent: Mapping[str, str]) -> bool:
        """See Access.renew."""
        return await self._login.renew(head, sent.get("Authorization", ""))

    def check_status(self, head: Head, uri: str, *, now: datetime) -> None:
        """See Access.check_status."""
        check_registry_status(head, uri, self._wanted, now=now)


def _is_no_tls(cause: BaseException | None) -> bool:
    fault = getattr(cause, "os_error", cause)
    return isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.CertificateError)


def _check_digest(content: bytes, digest: Digest, what: str) -> None:
    found = digest_of(content, digest.algorithm)
    if found != digest:
        raise PermanentFetchError(
            f"{what}: the registry gave something else under this digest, {found} ({len(content)} bytes)"
        )
