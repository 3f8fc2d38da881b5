"""Users, by whoever has the database: the way in for the first administrator, and for who has locked themselves out.

Changes are recorded as made by ``local_user``, the user who runs the command.
"""

from collections.abc import Callable
from typing import TypeVar

from distfile_mirror.admin.settings import configure_tables
from distfile_mirror.catalog import database
from distfile_mirror.config import Config
from distfile_mirror.model.roles import Role

Done = TypeVar("Done")


def add(config: Config, name: str, role: Role, password: str) -> None:
    """Add a user who signs in with a password. Raises MirrorError."""
    _prepare(config)
    from distfile_mirror.admin.people import add_user

    _within(lambda: add_user(name, role=role, password=password, actor=_actor(config)))


def listed(config: Config) -> list[dict[str, str | bool]]:
    """Return all users by name. Raises MirrorError."""
    _prepare(config)
    from distfile_mirror.admin.people import list_users

    return [
        {"name": user.name, "role": user.role, "source": user.source, "is_active": user.is_active}
        for user in list_users()
    ]


def give_role(config: Config, name: str, role: Role) -> None:
    """Give a role. Raises MirrorError."""
    _prepare(config)
    from distfile_mirror.admin.people import find_user, set_role

    _within(lambda: set_role(find_user(name).pk, role, actor=_actor(config)))


def activate(config: Config, name: str, *, is_active: bool) -> None:
    """Enable or disable. Raises MirrorError."""
    _prepare(config)
    from distfile_mirror.admin.people import find_user, set_active

    _within(lambda: set_active(find_user(name).pk, is_active=is_active, actor=_actor(config)))


def reset_password(config: Config, name: str, password: str) -> None:
    """Set a password. Raises MirrorError."""
    _prepare(config)
    from distfile_mirror.admin.people import find_user, set_password

    _within(lambda: set_password(find_user(name).pk, password, actor=_actor(config)))


def _prepare(config: Config) -> None:
    configure_tables(config.effective_database_url)
    database.check_schema()


def _within(change: Callable[[], Done]) -> Done:
    with database.available():
        return change()


def _actor(config: Config) -> str:
    return f"{config.local_user} (command line)"
