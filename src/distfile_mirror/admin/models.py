"""The tables of people: only the admin has them, so that proxies and downloaders start without.

Users are never deleted, because the history names them; they are disabled.
"""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone

from distfile_mirror.admin.sign_in import ACCOUNTS
from distfile_mirror.model.roles import Role

MAX_NAME_CHARACTERS = 150


class Users(BaseUserManager["User"]):
    """Finds users."""


class User(AbstractBaseUser):
    """Somebody who signs in. ``name`` is in lower case. ``source``: by which of the sign-ins they come."""

    name = models.CharField(max_length=MAX_NAME_CHARACTERS, unique=True)
    role = models.TextField(default=Role.VIEWER.value, help_text="One of model.roles.Role.")
    source = models.TextField(default=ACCOUNTS)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "name"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = Users()

    def __str__(self) -> str:
        return self.name


class ApiToken(models.Model):
    """A secret with which a program acts for its owner. Only a hash of the secret is kept."""

    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tokens")
    name = models.TextField()
    role = models.TextField(help_text="The most that it may do; never more than its owner.")
    secret_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="token_name_once"),)

    def __str__(self) -> str:
        return f"{self.owner}: {self.name}"


class PasswordAttempt(models.Model):
    """A password that was tried, and did not prove right. ``account`` may be one that is not there."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    account = models.TextField()
    address = models.TextField()

    class Meta:
        indexes = (
            models.Index(fields=["account", "at"], name="attempt_account"),
            models.Index(fields=["address", "at"], name="attempt_address"),
        )

    def __str__(self) -> str:
        return f"{self.account} from {self.address}"
