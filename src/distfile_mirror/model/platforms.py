"""Platforms of images, ``os/architecture[/variant]``, and the choice of some of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALL = "all"
NONE = "none"

_PART = re.compile(r"[a-z0-9._-]+")
# What is left out when it is the only one (as containerd normalises platforms).
_ONLY_VARIANTS = {("arm64", "v8"): "", ("amd64", "v1"): ""}
_SAME_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on. ``variant`` may be empty."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def covers(self, other: "Platform") -> bool:
        """Tell whether who chose this one means ``other``: without a variant, every variant is meant."""
        return (self.os, self.architecture) == (other.os, other.architecture) and self.variant in {"", other.variant}


def parse_platform(text: str) -> Platform:
    """Read ``os/architecture[/variant]``.

    Raises:
        ValueError: saying what is wrong with ``text``.
    """
    parts = text.strip().lower().split("/")
    if len(parts) not in {2, 3} or not all(map(_PART.fullmatch, parts)):
        message = f"{text!r} is not a platform; write os/architecture as in linux/amd64, or {ALL}, or {NONE}"
        raise ValueError(message)
    return make_platform(*parts)


def make_platform(os: str, architecture: str, variant: str = "") -> Platform:
    """Normalise the parts of a platform."""
    architecture = _SAME_ARCHITECTURES.get(architecture, architecture)
    return Platform(os, architecture, _ONLY_VARIANTS.get((architecture, variant), variant))


@dataclass(frozen=True, slots=True)
class PlatformChoice:
    """Which platforms of an index are wanted: ``all``, or ``platforms``, which may be none."""

    platforms: tuple[Platform, ...] = ()
    all: bool = False

    def includes(self, platform: Platform) -> bool:
        """Tell whether ``platform`` is wanted."""
        return self.all or any(chosen.covers(platform) for chosen in self.platforms)

    def with_more(self, more: "PlatformChoice") -> "PlatformChoice":
        """Return what is wanted in all."""
        return PlatformChoice(tuple(dict.fromkeys((*self.platforms, *more.platforms))), self.all or more.all)

    def texts(self) -> list[str]:
        """Write it as ``parse_choice`` reads it."""
        return [ALL] if self.all else [str(platform) for platform in self.platforms] or [NONE]


def parse_choice(texts: Iterable[str]) -> PlatformChoice:
    """Read platforms, or ``all``, or ``none``; each item may be several, separated by commas.

    Raises:
        ValueError: for what is no platform, nothing at all, or ``none`` beside something.
    """
    words: Sequence[str] = [word.strip().lower() for text in texts for word in text.split(",") if word.strip()]
    if not words:
        message = f"choose a platform such as linux/amd64, or {ALL}, or {NONE}"
        raise ValueError(message)
    if NONE in words and len(set(words)) > 1:
        message = f"{NONE} and a platform exclude each other"
        raise ValueError(message)
    platforms = tuple(dict.fromkeys(parse_platform(word) for word in words if word not in {ALL, NONE}))
    return PlatformChoice((), all=True) if ALL in words else PlatformChoice(platforms)
