"""Asking registries outside of downloads: what a tag means now."""

import asyncio
from collections.abc import Callable

from distfile_mirror.config import Config
from distfile_mirror.upstream.http import Upstream
from distfile_mirror.upstream.registry import RegistryClient, ResolvedTag
from distfile_mirror.wiring.upstreams import registry_settings, upstream_settings


def resolve_tag(config: Config) -> Callable[[str, str, str], ResolvedTag]:
    """Return a function of registry, repository and tag (normalised) that tells what the tag means now.

    It blocks, and raises TransientFetchError and PermanentFetchError, whose messages are for people.

    Raises:
        ConfigurationError: if the credentials cannot be read.
    """
    upstream, registries = upstream_settings(config), registry_settings(config)

    async def ask(registry: str, repository: str, tag: str) -> ResolvedTag:
        async with Upstream(upstream) as client:
            return await RegistryClient(client, registries).resolve(registry, repository, tag)

    return lambda registry, repository, tag: asyncio.run(ask(registry, repository, tag))
