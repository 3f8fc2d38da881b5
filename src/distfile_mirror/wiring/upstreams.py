"""How a configuration wants upstreams to be asked: limits, routes, registries."""

from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.upstream.registry import RegistrySettings
from distfile_mirror.upstream.registry_credentials import read_credentials
from distfile_mirror.upstream.settings import UpstreamSettings


def upstream_settings(config: Config) -> UpstreamSettings:
    """Return the limits and routes of downloads."""
    return UpstreamSettings(
        allow_network=config.allow_network,
        connect_to=config.connect_to,
        upstream_ca=config.upstream_ca,
        connect_timeout=config.download_connect_timeout,
        stall_timeout=config.download_stall_timeout,
        stall_bytes=config.download_stall_bytes,
        total_timeout=config.download_total_timeout,
        max_bytes=config.download_max_bytes,
    )


def registry_settings(config: Config) -> RegistrySettings:
    """Return how registries are asked, credentials included. Raises ConfigurationError."""
    file = config.registry_credentials_file
    try:
        credentials = read_credentials(file) if file else {}
    except ValueError as error:
        raise ConfigurationError(f"registry_credentials_file: {error}") from None
    return RegistrySettings(plain_http=frozenset(config.plain_http_registries), credentials=credentials)
