"""What a process asks of the machine it runs on, and what it refuses to find there."""

import resource
from contextlib import suppress

from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.model.uris import DEFAULT_PORTS, parse_authority
from distfile_mirror.upstream.routes import environment_proxies

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def take_descriptors() -> None:
    """Let this process have as many file descriptors as the system allows it: each connection takes one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def refuse_one_address(config: Config) -> None:
    """Make sure that proxy and admin listen on two addresses. Raises ConfigurationError."""
    if config.proxy_listen == config.admin_listen and config.proxy_listen.port:
        raise ConfigurationError(
            f"proxy_listen and admin_listen are both {config.proxy_listen}: give each an address of its own"
        )


def refuse_own_proxy(config: Config) -> None:
    """Make sure that downloads do not go through the mirror's own proxy, which contacts no upstream.

    Raises:
        ConfigurationError: naming the variable of the environment that says so.
    """
    own = {f"{name}:{config.proxy_listen.port}" for name in _LOOPBACK_NAMES}
    own |= {str(config.proxy_listen), config.effective_proxy_url.partition("://")[2]}
    for scheme, url in environment_proxies().items():
        if scheme == "no":
            continue
        given = url.partition("://")[2].rpartition("@")[2].partition("/")[0] if "://" in url else url
        try:
            authority = parse_authority(given, default_port=DEFAULT_PORTS["http"])
        except ValueError:
            continue  # what it is wrong with is told where it is used
        if f"{authority.host}:{authority.port}" in own:
            raise ConfigurationError(
                f"{scheme}_proxy is {url}, which is this mirror: downloads would ask it for what it does not have yet; "
                f"start it in a shell without {scheme}_proxy"
            )
