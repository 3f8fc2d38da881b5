"""Sessions that have ended are forgotten when the next one begins, so that no job need be run for it."""

from importlib import import_module
from typing import Any

from django.conf import settings


def forget_ended_sessions() -> None:
    """Delete the rows of sessions that have ended."""
    engine: Any = import_module(settings.SESSION_ENGINE)
    engine.SessionStore.clear_expired()
