"""People with roles, signed in as they would be."""

from dataclasses import replace
from itertools import count

from django.test import Client

from distfile_mirror.admin.identity import Identity
from distfile_mirror.admin.models import User
from distfile_mirror.admin.people import add_user
from distfile_mirror.admin.sign_in import SignIn
from distfile_mirror.admin.tokens import create_token
from distfile_mirror.model.roles import Role

PASSWORD = "a long and quiet river"
_NUMBERS = count(1)


def with_sign_in(settings, *methods, require_approval=False, **given):
    """Turn sign-ins on, for this test."""
    sign_in = SignIn(methods=frozenset(methods or {"accounts"}), **given)
    context = replace(settings.DISTFILE_MIRROR, sign_in=sign_in, require_approval=require_approval)
    settings.DISTFILE_MIRROR = context
    return context


def person(name="alice", role="viewer") -> User:
    return add_user(name, role=role, password=PASSWORD, actor="root")


def browser(name="", **options) -> Client:
    """A browser of somebody who signed in by the form; of nobody without a name."""
    client = Client(**options)
    if name:
        client.get("/sign-in")
        token = client.cookies["csrftoken"].value
        form = {"name": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
        response = client.post("/sign-in", form)
        assert response.status_code == 302, response.content
    return client


def secret_of(user, role=None, days=None) -> str:
    identity = Identity(user.name, Role(user.role), "session", user)
    return create_token(identity, name=f"ci {next(_NUMBERS)}", role=role or user.role, days=days).secret


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}
