"""How people sign in, as this process was configured: from plain arguments, as all of the context."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from distfile_mirror.model.addresses import IPNetwork
from distfile_mirror.model.roles import Role

ACCOUNTS = "accounts"
OIDC = "oidc"
HEADER = "header"


@dataclass(frozen=True, slots=True)
class OpenIdProvider:
    """Who vouches for people. ``issuer``: its address; ``groups_claim``: where it lists their groups."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    groups_claim: str = "groups"


@dataclass(frozen=True, slots=True)
class TrustedHeader:
    """What a reverse proxy says of people. ``networks``: from where it is believed."""

    user: str
    groups: str
    networks: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class SignIn:
    """All of it. ``methods``: of accounts, oidc and header those that are on; none: whoever comes may do all.

    ``role_groups``: with it, roles of who comes by oidc or header follow their groups; without, administrators
    give them. ``default_role``: for who has none so; None refuses them. ``trusted_proxies``: whose word on
    client address and scheme is taken. ``metrics_token``: reads /metrics; empty for none.
    """

    methods: frozenset[str] = frozenset()
    oidc: OpenIdProvider | None = None
    header: TrustedHeader | None = None
    role_groups: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    default_role: Role | None = None
    trusted_proxies: tuple[IPNetwork, ...] = ()
    metrics_token: str = field(default="", repr=False)
    session_seconds: float = 12 * 3600

    @property
    def has_page(self) -> bool:
        """Whether people sign in at a page of this server."""
        return bool(self.methods & {ACCOUNTS, OIDC})


def is_within(address: str, networks: tuple[IPNetwork, ...]) -> bool:
    """Tell whether an IP address, as text, is in one of ``networks``; what is none is nowhere."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def is_loopback(address: str) -> bool:
    """Tell whether an IP address, as text, is this machine's own."""
    return is_within(address, (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))
