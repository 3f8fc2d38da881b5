"""What people may do: four roles, each of which may do all that those before it may."""

from collections.abc import Collection, Mapping
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"
    DECLARER = "declarer"
    APPROVER = "approver"
    ADMINISTRATOR = "administrator"

    def includes(self, least: "Role") -> bool:
        """Tell whether this role may do what ``least`` may."""
        return _RANKS[self] >= _RANKS[least]


_RANKS = {role: rank for rank, role in enumerate(Role)}


def lower_of(one: Role, other: Role) -> Role:
    """Return the role that may do less."""
    return other if one.includes(other) else one


def role_of_groups(
    groups: Collection[str], role_groups: Mapping[Role, Collection[str]], default: Role | None
) -> Role | None:
    """Return the highest role that one of ``groups`` gives; ``default`` if none does."""
    for role in reversed(Role):
        if not set(groups).isdisjoint(role_groups.get(role, ())):
            return role
    return default
