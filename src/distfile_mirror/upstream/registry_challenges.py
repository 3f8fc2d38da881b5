"""How a registry wants to be told who asks: ``WWW-Authenticate`` and the answers of token addresses.

RFC 9110, 11.6.1; the distribution specification's token authentication. No I/O.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.uris import FileUri, parse_file_uri

BEARER = "bearer"
BASIC = "basic"
# What the token specification says of an answer without expires_in, in seconds.
DEFAULT_LIFETIME = 60.0
# A token is given up a little before its end, so that none ends on the way.
_MARGIN = 5.0
_LONGEST = 1e9

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[\s,]|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[\s,]|$)')
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
# What a header field can carry (RFC 9110, 5.5), and nothing that could end it.
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of saying who asks. ``scheme`` and the names of ``parameters`` in lower case."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """What a token address gave. ``lifetime`` in seconds from when it was asked for."""

    value: str = field(repr=False)
    lifetime: float


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read the values of ``WWW-Authenticate``; what cannot be read ends its value quietly."""
    return [challenge for value in values for challenge in _parse_value(value)]


def choose_challenge(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the one to be met, Bearer rather than Basic; None if there is neither."""
    known = {challenge.scheme: challenge for challenge in challenges}
    return known.get(BEARER) or known.get(BASIC)


def token_uri(challenge: Challenge, *, repository: str, plain_http: bool) -> FileUri:
    """Return the token address that ``challenge`` names, without a query of ours.

    Raises:
        PermanentFetchError: if it names none that may be asked.
    """
    try:
        realm = parse_file_uri(challenge.parameters.get("realm", ""))
    except ValueError as error:
        message = f"the registry names no usable address for tokens of {repository}: {error}"
        raise PermanentFetchError(message) from None
    if realm.scheme != "https" and not plain_http:
        raise PermanentFetchError(
            f"the registry sends for tokens to {realm.scheme}://{realm.authority.for_scheme(realm.scheme)}, where "
            "anybody could read them; only a registry of plain_http_registries may do that"
        )
    return realm


def token_parameters(challenge: Challenge, *, repository: str) -> dict[str, str]:
    """Return what a token address is told: for which service, to do what."""
    given = challenge.parameters
    service = {"service": given["service"]} if given.get("service") else {}
    return {**service, "scope": given.get("scope") or f"repository:{repository}:pull"}


def with_query(uri: FileUri, parameters: Mapping[str, str]) -> str:
    """Return ``uri`` with ``parameters`` behind the query that it may have."""
    return f"{uri}{'&' if '?' in uri.target else '?'}{urlencode(parameters)}"


def read_token(content: bytes, where: str) -> Token:
    """Read the answer of the token address ``where``.

    Raises:
        PermanentFetchError: if there is no token in it.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PermanentFetchError(f"{where} answered with what is no JSON object, and so with no token")
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or not _SENDABLE.fullmatch(value):
        raise PermanentFetchError(f"{where} answered without a token")
    lifetime = _positive(document.get("expires_in")) or DEFAULT_LIFETIME
    return Token(value, max(lifetime - _MARGIN, lifetime / 2))


def _positive(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < _LONGEST else None


def _parse_value(value: str) -> list[Challenge]:
    found = []
    position = 0
    while scheme := _SCHEME.match(value, position):
        position = scheme.end()
        parameters: dict[str, str] = {}
        if token68 := _TOKEN68.match(value, position):
            position = token68.end()
        while parameter := _PARAMETER.match(value, position):
            position = parameter.end()
            name, quoted, plain = parameter.groups()
            parameters.setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        found.append(Challenge(scheme[1].lower(), parameters))
    return found
