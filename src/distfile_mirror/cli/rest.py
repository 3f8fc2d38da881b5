"""Speaks to a server's REST API, and says what went wrong in words for a terminal.

The server is never asked through a proxy: the proxies of the environment are for builds, and
often they are the mirror itself. Certificates are judged by the system's store and SSL_CERT_FILE.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx

from distfile_mirror.errors import MirrorError, NotFoundError
from distfile_mirror.model.digests import HEX_DIGITS
from distfile_mirror.model.references import parse_reference
from distfile_mirror.model.request_ids import HEADER as REQUEST_ID
from distfile_mirror.model.request_ids import new_request_id

API = "/api/v1"
TIMEOUT_SECONDS = 60.0
LIST_PAGE_SIZE = 500

Document = dict[str, Any]

# What a terminal can do about it, beside what the server says.
_ADVICE = {
    401: "; make a token on the account page of the server, and give it by --token or DISTFILE_MIRROR_TOKEN",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of artifact. ``path``: of its list in the API, and what the list's documents have it under.

    ``named_by``: the member of a document that names it for people. ``suffix``: of its commands.
    ``search``: from a name to the filters of a list, and a test for what is meant of it.
    """

    path: str
    noun: str
    named_by: str
    suffix: str
    search: Callable[[str], tuple[dict[str, str], Callable[[Document], bool]]]


def _search_file(uri: str) -> tuple[dict[str, str], Callable[[Document], bool]]:
    return {"uri": uri}, lambda _document: True


def _search_image(text: str) -> tuple[dict[str, str], Callable[[Document], bool]]:
    if text.partition(":")[0] in HEX_DIGITS:
        return {"digest": text}, lambda _document: True
    try:
        reference = parse_reference(text)
    except ValueError as error:
        raise NotFoundError(str(error)) from None
    if reference.digest is None:
        raise NotFoundError(f"{text} names a tag; an image is found by its digest: {text}@sha256:…")
    name = f"{reference.registry}/{reference.repository}@{reference.digest}"
    return {"digest": str(reference.digest)}, lambda document: bool(document["reference"] == name)


FILES = Kind("files", "file", "uri", "", _search_file)
IMAGES = Kind("images", "image", "reference", "-image", _search_image)


def kind_of(document: Document) -> Kind:
    """Tell what ``document`` is about."""
    return IMAGES if IMAGES.named_by in document else FILES


class UnreachableError(MirrorError):
    """The server cannot be reached, or does not answer now (503)."""


class RefusedError(MirrorError):
    """The server refused. ``problem`` is its problem document (RFC 9457)."""

    def __init__(self, problem: Document) -> None:
        detail = str(problem.get("detail") or problem.get("title") or "the server refused")
        super().__init__(f"{detail}{_ADVICE.get(problem.get('status', 0), '')}")
        self.problem = problem

    @property
    def field_errors(self) -> list[tuple[str, str]]:
        """Each wrong field with what is wrong with it."""
        return [(str(each.get("field")), str(each.get("message"))) for each in self.problem.get("errors") or []]


class MirrorClient:
    """A connection to the server at the address ``server``; most of it is for one ``kind`` of artifact.

    Every method may raise the two errors above.
    """

    def __init__(self, server: str, token: str = "", kind: Kind = FILES) -> None:
        headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"} if token else {}
        # One for all that this command asks: what is logged of it anywhere has it.
        headers[REQUEST_ID] = self._request_id = new_request_id()
        self.kind = kind
        self._server = server
        self._path = f"/{kind.path}"
        self._http = httpx.Client(
            base_url=server.rstrip("/") + API,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            verify=ssl.create_default_context() if server.startswith("https:") else False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._http.close()

    def declare(self, declaration: Mapping[str, Any]) -> tuple[Document, bool]:
        """Declare an artifact; return it, and whether it is new."""
        response = self._ask("POST", self._path, json=declaration)
        return _document(response), response.status_code == httpx.codes.CREATED

    def show(self, number: int) -> Document:
        """Return an artifact."""
        return _document(self._ask("GET", f"{self._path}/{number}"))

    def find(self, number_or_name: str) -> Document:
        """Return the artifact of this number or name. Raises NotFoundError too, also if several are meant."""
        if number_or_name.isdecimal():
            return self.show(int(number_or_name))
        filters, is_meant = self.kind.search(number_or_name)
        found = [document for document in self.list(filters) if is_meant(document)]
        if len(found) == 1:
            return self.show(found[0]["id"])  # a list does not tell all
        if not found:
            raise NotFoundError(f"{number_or_name} is not declared")
        names = ", ".join(f"{document[self.kind.named_by]} ({document['id']})" for document in found)
        raise NotFoundError(f"{number_or_name} may be any of these; name one by its number: {names}")

    def list(self, filters: Mapping[str, str], *, limit: int | None = None) -> Iterator[Document]:
        """Yield the artifacts for which all ``filters`` hold, newest first; at most ``limit``."""
        return self.list_of(self.kind.path, filters, limit=limit)

    def list_of(
        self, name: str, filters: Mapping[str, str], *, limit: int | None = None, member: str = ""
    ) -> Iterator[Document]:
        """Yield what the list ``name`` of the API has for ``filters``, in its order; at most ``limit``.

        ``member``: what its documents have it under, if that is not the name.
        """
        member = member or name
        left = limit if limit is not None else float("inf")
        cursor = ""
        while left > 0:
            page_size = int(min(left, LIST_PAGE_SIZE))
            parameters = {**_given(filters), "cursor": cursor, "limit": page_size}
            page = _document(self._ask("GET", f"/{name}", params=parameters), member)
            yield from page[member]
            left -= len(page[member])
            cursor = page["next_cursor"]
            if not cursor:
                return

    def act(self, number: int, action: str, body: Mapping[str, Any] | None = None) -> Document:
        """Do ``action`` (retry, block, unblock, platforms) to an artifact; return it."""
        return _document(self._ask("POST", f"{self._path}/{number}/{action}", json=body))

    def amend(self, number: int, checksums: Sequence[str]) -> Document:
        """Replace the expected checksums of a file; return it."""
        return _document(self._ask("PATCH", f"{self._path}/{number}", json={"checksums": checksums}))

    def declare_misses(self, misses: Sequence[int], use: Mapping[str, str]) -> Iterator[Document]:
        """Declare what builds asked for in vain; yield what became of each."""
        for first in range(0, len(misses), LIST_PAGE_SIZE):
            body = {"misses": misses[first : first + LIST_PAGE_SIZE], **use}
            yield from _document(self._ask("POST", "/misses/declare", json=body), "misses")["misses"]

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes at ``path``, as they come."""
        with self._reaching(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
            yield from self._checked(response).iter_bytes()

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with self._reaching():
            return self._checked(self._http.request(method, path, **arguments))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise UnreachableError(f"the server at {self._server} did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"cannot reach the server at {self._server}: {error}; is it running, and is --server right?"
            ) from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        problem = _problem(response, self._server)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnreachableError(str(problem["detail"]))
        if response.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
            problem["detail"] = f"{problem.get('detail')} (in the server's log: {self._request_id})"
        raise RefusedError(problem)


def _document(response: httpx.Response, member: str = "id") -> Document:
    """Return the JSON object of ``response``; without ``member`` in it, it is another server's."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or member not in document:
        raise UnreachableError(f"{response.url} does not answer as Distfile Mirror does; is --server right?")
    return document


def _problem(response: httpx.Response, server: str) -> Document:
    if response.headers.get("Content-Type") == "application/problem+json":
        return _document(response, "status")
    detail = f"{server} answered {response.status_code} {response.reason_phrase}, not as Distfile Mirror does"
    return {"status": response.status_code, "detail": f"{detail}; is --server right?"}


def _given(filters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}
