"""How passwords are hashed, and which are good enough."""

from collections.abc import Sequence

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from distfile_mirror.admin.models import User
from distfile_mirror.errors import InvalidInputError

FIELD = "password"


class SmallArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id as OWASP's cheat sheet has it: Django's own 100 MiB for each guess would fill a small machine."""

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1


def check_new_password(password: str, user: User) -> None:
    """Raise InvalidInputError, saying all that is wrong with ``password`` for ``user``."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        messages: Sequence[str] = error.messages
        raise InvalidInputError({FIELD: list(messages)}) from None
