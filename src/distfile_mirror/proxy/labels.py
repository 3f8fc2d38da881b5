"""Who asks, as the user name in the proxy's address says: ``http://firmware@mirror:3128``. Pure.

A label tells one build from another; it is no proof of anything. Only where proxy authentication is
switched on must a password come with it.
"""

import base64
import binascii
import hmac
import re
from functools import lru_cache

MAX_LABEL_CHARACTERS = 100

_BASIC = re.compile(rb"\s*basic\s+([A-Za-z0-9+/=]+)\s*", re.IGNORECASE)


def label_of(credentials: bytes) -> str:
    """Return the user name of ``Proxy-Authorization`` or ``Authorization`` (RFC 7617), or empty if there is none."""
    return _parse(credentials)[0]


def proves(credentials: bytes, password: str) -> bool:
    """Tell whether ``credentials`` carry ``password``, whoever the user is."""
    return hmac.compare_digest(_parse(credentials)[1].encode(), password.encode())


@lru_cache(maxsize=1024)
def _parse(credentials: bytes) -> tuple[str, str]:
    match = _BASIC.fullmatch(credentials)
    if not match:
        return "", ""
    try:
        text = base64.b64decode(match[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    user, _colon, password = text.partition(":")
    label = "".join(character for character in user if character.isprintable()).strip()
    return label[:MAX_LABEL_CHARACTERS], password
