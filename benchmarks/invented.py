"""Invented files, each made of its number alone: URIs as package registries have them, and who uses them.

Pure, and without Django: whoever asks a mirror for them need not set it up.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

HOSTS = 400
PROJECTS = 1_000
VERSIONS = 40


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "able amber basic brisk calm clear cold common core crisp dark deep direct dry early easy even fast fine firm "
    "flat fresh grand green hard high hot inner keen large late lean light lone long low main mild neat new"
)
_SECOND = _words(
    "anchor arrow basin beacon bolt bridge cable canvas chain cipher copper crate engine fabric falcon filter forge "
    "frame gate glass harbor hinge jacket kernel ladder lantern lever magnet mirror needle orbit panel parser piston "
    "planet prism pulley quarry raster river rocket saddle sensor shuttle signal socket spindle spring switch table "
    "tensor thread timber token tunnel turbine vector vessel wagon widget window wire"
)
_LAST = _words("api base cli client common core data db dev extra http io kit lib net runtime server tools ui utils")
_REASONS = (
    "build dependency of the bootloader",
    "runtime dependency, see the lock file",
    "toolchain for the release branch",
    "needed by the integration tests",
    "firmware blob for the radio",
    "documentation is built with it",
    "base of the container images",
    "licence scan asked for the source",
    "reproduction of a customer's build",
    "pinned until the next long-term release",
)
_LICENCES = (
    "MIT",
    "Apache-2.0",
    "BSD-3-Clause",
    "GPL-2.0-only",
    "LGPL-2.1-or-later",
    "",
    "MIT OR Apache-2.0",
    "MPL-2.0",
    "ISC",
    "GPL-3.0-or-later WITH GCC-exception-3.1",
)


@dataclass(frozen=True, slots=True)
class _Name:
    first: str
    second: str
    last: str
    version: str

    @property
    def dashed(self) -> str:
        return f"{self.first}-{self.second}-{self.last}"


@dataclass(frozen=True, slots=True)
class InventedFile:
    """A file. ``content_type`` is what its upstream calls it."""

    uri: str
    host: str
    content_type: str


@dataclass(frozen=True, slots=True)
class InventedUse:
    """A use of a file, by the project of that number."""

    project: int
    reason: str
    licence: str
    declared_by: str

    @property
    def fingerprint(self) -> bytes:
        """The key of the use among those of its file, as the catalog makes it."""
        facts = [project_name(self.project), self.reason, self.licence]
        return hashlib.sha256(json.dumps(facts).encode()).digest()


def invented_file(number: int) -> InventedFile:
    """Return file ``number``; forty in a row are versions of one thing."""
    thing, version = divmod(number, VERSIONS)
    rest, first = divmod(thing, len(_FIRST))
    rest, second = divmod(rest, len(_SECOND))
    rest, last = divmod(rest, len(_LAST))
    again = f"-{rest}" if rest else ""
    name = _Name(
        _FIRST[first], _SECOND[second], _LAST[last] + again, f"{1 + version // 16}.{version // 4 % 4}.{version % 4}"
    )
    host_number = _scattered(thing) % HOSTS
    kind, path, content_type = _KINDS[host_number % len(_KINDS)]
    host = f"{kind}{host_number:03}.{'example.org' if host_number % 2 else 'vendor.test'}"
    return InventedFile(f"https://{host}{path(name)}", host, content_type)


def invented_uses(number: int) -> list[InventedUse]:
    """Return the uses of file ``number``, one to three, of as many projects."""
    count = 3 if number % 16 == 0 else 2 if number % 4 == 0 else 1
    begin = _scattered(number // VERSIONS)
    licence = _LICENCES[begin % len(_LICENCES)]
    uses = []
    for turn in range(count):
        at = _scattered(begin + turn)
        uses.append(
            InventedUse(
                project=(begin + turn * 101) % PROJECTS,
                reason=_REASONS[at % len(_REASONS)],
                licence=licence,
                declared_by=f"{_FIRST[at % 23]}.{_SECOND[at % 31]}",
            )
        )
    return uses


def project_name(number: int) -> str:
    """Return the name of a project."""
    return f"{_SECOND[number % len(_SECOND)]}-{_LAST[number // len(_SECOND) % len(_LAST)]}-{number:03}"


def _scattered(number: int) -> int:
    """Return a number far from that of the neighbours (Knuth's multiplicative hash, 32 bits)."""
    return (number * 2_654_435_761 & 0xFFFF_FFFF) >> 4


def _tarball(name: _Name) -> str:
    return f"/releases/{name.dashed}/{name.version}/{name.dashed}-{name.version}.tar.gz"


def _wheel(name: _Name) -> str:
    underscored = name.dashed.replace("-", "_")
    digest = hashlib.blake2b(f"{name}".encode(), digest_size=30).hexdigest()
    return f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{underscored}-{name.version}-py3-none-any.whl"


def _npm(name: _Name) -> str:
    return f"/@{name.first}/{name.second}-{name.last}/-/{name.second}-{name.last}-{name.version}.tgz"


def _deb(name: _Name) -> str:
    return f"/debian/pool/main/{name.first[0]}/{name.dashed}/{name.dashed}_{name.version}-1_amd64.deb"


def _jar(name: _Name) -> str:
    group = f"org/{name.first}/{name.second}"
    return f"/maven2/{group}/{name.dashed}/{name.version}/{name.dashed}-{name.version}.jar"


def _crate(name: _Name) -> str:
    return f"/crates/{name.dashed}/{name.dashed}-{name.version}.crate"


_KINDS: tuple[tuple[str, Callable[[_Name], str], str], ...] = (
    ("downloads", _tarball, "application/gzip"),
    ("files", _wheel, "binary/octet-stream"),
    ("npm", _npm, "application/octet-stream"),
    ("deb", _deb, "application/vnd.debian.binary-package"),
    ("repo", _jar, "application/java-archive"),
    ("static", _crate, "application/gzip"),
)
