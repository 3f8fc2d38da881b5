"""Being let in by a registry, for one repository: a token from where the registry says, or name and password.

Tokens end in the middle of a pull. Whoever meets a 401 first gets a new one, and all others that
were refused with the old one use it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from distfile_mirror.errors import MirrorError, PermanentFetchError
from distfile_mirror.model.uris import FileUri
from distfile_mirror.upstream.access import Access, is_same_origin
from distfile_mirror.upstream.registry_challenges import (
    BASIC,
    Challenge,
    Token,
    choose_challenge,
    parse_challenges,
    read_token,
    token_parameters,
    token_uri,
    with_query,
)
from distfile_mirror.upstream.registry_credentials import Credentials
from distfile_mirror.upstream.registry_statuses import SETTING, with_message, without_queries
from distfile_mirror.upstream.settings import Head, Received, Sink
from distfile_mirror.upstream.small_bodies import SmallBody
from distfile_mirror.upstream.statuses import check_status, one_line

MAX_TOKEN_BYTES = 1 << 20
_REFUSALS = frozenset({400, 401, 403})
# What token addresses are told of who we are, beside User-Agent.
_CLIENT_ID = "distfile-mirror"


class Fetch(Protocol):
    """Upstream.fetch."""

    async def __call__(
        self, uri: str, sink: Sink, *, checked: bool, by_digest: bool = False, access: Access
    ) -> Received:
        """See Upstream.fetch."""


class Login:
    """What ``Authorization`` says to ``registry`` about ``repository``. ``clock`` in seconds."""

    def __init__(
        self,
        fetch: Fetch,
        registry: str,
        repository: str,
        credentials: Credentials | None,
        *,
        plain_http: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._registry = registry
        self._repository = repository
        self._credentials = credentials or Credentials()
        self._plain_http = plain_http
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value = f"Bearer {self._credentials.registry_token}" if self._credentials.registry_token else ""
        self._until = float("inf")

    @property
    def has_credentials(self) -> bool:
        """Tell whether somebody is asked for, or anybody."""
        return self._credentials != Credentials()

    def header(self) -> str:
        """Return the value of ``Authorization``, empty while there is none."""
        return self._value if self._clock() < self._until else ""

    async def renew(self, head: Head, refused: str) -> bool:
        """After the 401 ``head`` on ``refused``: get another value; tell whether there is one.

        Raises:
            TransientFetchError, PermanentFetchError: if the token address gives none.
        """
        async with self._lock:
            if self.header() not in {"", refused}:
                return True
            if self._credentials.registry_token:
                return False
            challenge = choose_challenge(parse_challenges(head.values("WWW-Authenticate")))
            if challenge is None:
                return False
            if challenge.scheme == BASIC:
                self._value, self._until = self._credentials.basic, float("inf")
                return self._value not in {"", refused}
            begin = self._clock()
            token = await self._ask_for_token(challenge)
            self._value, self._until = f"Bearer {token.value}", begin + token.lifetime
            return True

    async def _ask_for_token(self, challenge: Challenge) -> Token:
        where = f"{self._registry}/{self._repository}"
        realm = token_uri(challenge, repository=where, plain_http=self._plain_http)
        parameters = token_parameters(challenge, repository=self._repository)
        identity = self._credentials.identity_token
        form = _refresh(parameters, identity) if identity else None
        access = _TokenAccess(realm, self._registry, self._repository, self._credentials, form)
        body = SmallBody(f"the token for {where}", MAX_TOKEN_BYTES)
        try:
            await self._fetch(str(realm) if form else with_query(realm, parameters), body, checked=True, access=access)
            return read_token(body.content, str(realm))
        except MirrorError as error:
            raise with_message(error, without_queries(f"no token for {where}: {error}")) from None


def _refresh(parameters: Mapping[str, str], identity_token: str) -> dict[str, str]:
    # RFC 6749, 6, as the token specification's OAuth2 has it.
    return {
        **parameters,
        "grant_type": "refresh_token",
        "client_id": _CLIENT_ID,
        "refresh_token": identity_token,
    }


class _TokenAccess:
    """Asks ``realm`` for a token, by name and password if there are any."""

    def __init__(
        self, realm: FileUri, registry: str, repository: str, credentials: Credentials, form: Mapping[str, str] | None
    ) -> None:
        self._realm = realm
        self._registry = registry
        self._repository = repository
        self._credentials = credentials
        self.form = form

    def is_home(self, uri: FileUri) -> bool:
        """See Access.is_home."""
        return is_same_origin(uri, self._realm)

    def headers(self, *, at_home: bool) -> Mapping[str, str]:
        """See Access.headers."""
        basic = self._credentials.basic if at_home and not self.form else ""
        return {"Authorization": basic} if basic else {}

    async def renew(self, head: Head, sent: Mapping[str, str]) -> bool:  # noqa: ARG002
        """See Access.renew."""
        return False

    def check_status(self, head: Head, uri: str, *, now: datetime) -> None:
        """See Access.check_status."""
        if head.status not in _REFUSALS:
            check_status(head, uri, now=now)
            return
        answer = f"{head.status} {one_line(head.reason)}".strip()
        host = self._realm.authority.host
        if self._credentials != Credentials():
            raise PermanentFetchError(
                f"the token was refused: {host} does not take the credentials that {SETTING} has for "
                f"{self._registry} ({answer})"
            )
        raise PermanentFetchError(
            f"the token was refused: {host} gives none to everybody ({answer}); there is no repository "
            f"{self._repository} (check its spelling), or it is private: then put credentials for {self._registry} "
            f"into the file that the setting {SETTING} names"
        )
