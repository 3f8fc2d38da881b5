"""What one request is called in the logs of every component that has to do with it."""

import random
import re

HEADER = "X-Request-Id"
_VALID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def new_request_id() -> str:
    """Return an id that nothing else has."""
    # Nobody is harmed by guessing one, and asking the kernel takes longer than all else of a line in the log.
    return f"{random.getrandbits(64):016x}"


def request_id_of(given: str) -> str:
    """Return ``given``, which a client or a reverse proxy sent, if it is fit for logs; else a new one."""
    return given if _VALID.fullmatch(given) else new_request_id()
