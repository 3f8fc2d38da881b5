"""All manifests of an image, each once: its own, the chosen ones of an index, those that refer to it.

They are few and small, so they are held in memory until the image is recorded; what they need is
fetched after all of them are known.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from distfile_mirror.catalog.image_facts import Role
from distfile_mirror.downloaders.parallel import in_parallel
from distfile_mirror.errors import MirrorError, PermanentFetchError
from distfile_mirror.model.digests import digest_of, parse_digest
from distfile_mirror.model.manifests import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_DEPTH,
    MAX_MANIFEST_BYTES,
    SCHEMA_1,
    Descriptor,
    Manifest,
    ManifestError,
    chosen_children,
    parse_manifest,
    platforms_of,
)
from distfile_mirror.model.platforms import PlatformChoice
from distfile_mirror.upstream.registry import ReceivedManifest
from distfile_mirror.upstream.registry_statuses import NotInRegistryError, with_message

# Of one image, so that a hostile index cannot fill the memory.
MAX_MANIFESTS = 2000
MAX_BYTES = 16 * MAX_MANIFEST_BYTES

EVERYTHING = PlatformChoice(all=True)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A manifest to be had. ``reference``: its digest, or a tag. ``path``: the digests that led to it.

    ``descriptor``: what an index says of it. ``optional``: that it is not there is no fault.
    """

    reference: str
    role: Role
    descriptor: Descriptor | None = None
    path: tuple[str, ...] = ()
    optional: bool = False

    @property
    def platform(self) -> str:
        """What the index says of it, or empty."""
        return str(self.descriptor.platform or "") if self.descriptor else ""

    @property
    def tag(self) -> str:
        """The tag, if it is wanted by one."""
        return "" if ":" in self.reference else self.reference

    @property
    def label(self) -> str:
        """What it is called in a message; empty for the image's own."""
        if self.role is Role.IMAGE:
            return ""
        return f"{self.platform or self.role.value} ({self.reference})"


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest that came, and the ``blobs`` that it needs."""

    wanted: Wanted
    digest: str
    content: bytes
    manifest: Manifest
    blobs: tuple[Descriptor, ...]


class ManifestTree:
    """Collects ``parts`` (digest -> part, in the order of finding) by ``get``, so many ``at_once``."""

    def __init__(self, get: Callable[[str], Awaitable[ReceivedManifest]], *, at_once: int) -> None:
        self.parts: dict[str, Part] = {}
        self._get = get
        self._at_once = at_once
        self._count = 0
        self._bytes = 0

    async def collect(self, wanted: Iterable[Wanted], choice: PlatformChoice) -> None:
        """Add what is ``wanted``, and of every index in it what ``choice`` means.

        Raises:
            TransientFetchError, PermanentFetchError: if one cannot be had now, or at all, or cannot be mirrored.
        """
        level = list(wanted)
        for _ in range(MAX_DEPTH):
            missing: dict[str, Wanted] = {}
            for each in level:  # an index may list the same child for several platforms
                if each.reference not in self.parts:
                    missing.setdefault(each.reference, each)
            fetch = partial(self._fetch, choice=choice)
            found = await in_parallel(fetch, missing.values(), at_once=self._at_once)
            parts = [part for part in found if part is not None]
            for part in parts:
                self._add(part)
            level = [child for part in parts for child in children_wanted(part, choice)]
            if not level:
                return
        raise PermanentFetchError(f"indexes within indexes, more than {MAX_DEPTH} deep: nothing so deep is mirrored")

    def _add(self, part: Part) -> None:
        known = self.parts.get(part.digest)
        # A referrer may be listed and have a tag: the tag is worth knowing.
        if known is None or (known.wanted.role is Role.REFERRER and part.wanted.tag):
            self.parts[part.digest] = part

    async def _fetch(self, wanted: Wanted, choice: PlatformChoice) -> Part | None:
        try:
            part = await self._read(wanted, choice)
        except NotInRegistryError:
            if not wanted.optional:
                raise
            if not wanted.tag:
                log.warning("a listed referrer is not there", referrer=wanted.reference)
            return None
        except MirrorError as error:
            raise (with_message(error, f"{wanted.label}: {error}") if wanted.label else error) from None
        self._count += 1
        self._bytes += len(part.content)
        if self._bytes > MAX_BYTES or self._count > MAX_MANIFESTS:
            raise PermanentFetchError(
                f"the image has more than {MAX_MANIFESTS} manifests, or more than {MAX_BYTES} bytes of them"
            )
        return part

    async def _read(self, wanted: Wanted, choice: PlatformChoice) -> Part:
        described = wanted.descriptor
        if described is not None and described.data is not None:
            content, media_type = described.data, described.media_type
        else:
            received = await self._get(wanted.reference)
            content = received.content
            media_type = described.media_type if described and described.media_type else received.content_type
        if described is not None and len(content) != described.size:
            raise ManifestError(f"the index says that it has {described.size} bytes, and it has {len(content)}")
        digest = str(digest_of(content)) if wanted.tag else wanted.reference
        manifest = parse_manifest(content, media_type)
        return Part(wanted, digest, content, manifest, (*manifest.blobs, *_blobs_listed(manifest, choice)))


def children_wanted(part: Part, choice: PlatformChoice) -> Sequence[Wanted]:
    """Return what of an index is to be had.

    Raises:
        PermanentFetchError: if a child is one of those that led to it. No true digests can do that.
    """
    path = (*part.wanted.path, part.digest)
    wanted = []
    for child in chosen_children(part.manifest, choice):
        if not _is_manifest(child):
            continue
        if str(child.digest) in path:
            raise PermanentFetchError(f"the index {part.digest} leads in a circle, back to {child.digest}")
        role = part.wanted.role if part.wanted.role is Role.REFERRER else _role(child)
        wanted.append(Wanted(str(child.digest), role, child, path, part.wanted.optional))
    return wanted


def check_choice(own: Part, parts: Iterable[Part], choice: PlatformChoice) -> None:
    """Return if something of the index ``own`` was chosen, or nothing was to be.

    Raises:
        PermanentFetchError: naming the platforms that there are.
    """
    if not own.manifest.is_index or choice.all or not choice.platforms:
        return
    parts = list(parts)
    if any(part.wanted.role is Role.CHILD and not part.manifest.is_index for part in parts):
        return
    there = dict.fromkeys(str(platform) for part in parts for platform in platforms_of(part.manifest))
    chosen = ", ".join(choice.texts())
    raise PermanentFetchError(
        f"the index has nothing for {chosen}; it has {', '.join(there) or 'no platforms, so choose all'}"
    )


def subjects(parts: Iterable[Part]) -> list[str]:
    """Return the digests of which referrers are kept: those of the image and of its children."""
    return [part.digest for part in parts if part.wanted.role in {Role.IMAGE, Role.CHILD}]


def own_manifest(digest: str) -> Wanted:
    """Return the root of an image. Raises ValueError if ``digest`` is none."""
    return Wanted(str(parse_digest(digest)), Role.IMAGE)


def _is_manifest(child: Descriptor) -> bool:
    return not child.media_type or child.media_type in INDEX_TYPES | MANIFEST_TYPES | SCHEMA_1


def _blobs_listed(index: Manifest, choice: PlatformChoice) -> list[Descriptor]:
    """Return what an index lists although it is no manifest, as those of BuildKit's caches do."""
    return [replace(child, role="layer") for child in chosen_children(index, choice) if not _is_manifest(child)]


def _role(child: Descriptor) -> Role:
    return Role.ATTESTATION if child.attests else Role.CHILD
