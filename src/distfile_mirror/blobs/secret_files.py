"""Secrets from files, as orchestrators mount them."""

from pathlib import Path


def read_secret(file: Path) -> str:
    """Return what ``file`` holds, without white space around it. Raises ValueError."""
    try:
        secret = file.read_text(encoding="ascii").strip()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise ValueError(message) from None
    except UnicodeDecodeError:
        message = f"{file} is not text"
        raise ValueError(message) from None
    if not secret or len(secret.split()) > 1:
        message = f"{file} must hold one word"
        raise ValueError(message)
    return secret
