"""Speaks to a server's REST API, and says what went wrong in words for a terminal.

The server is never asked through a proxy: the proxies of the environment are for builds, and
often they are the mirror itself. Certificates are judged by the system's store and SSL_CERT_FILE.
"""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Self

import httpx

from distfile_mirror.errors import MirrorError, NotFoundError

API = "/api/v1"
TIMEOUT_SECONDS = 60.0
LIST_PAGE_SIZE = 500

Document = dict[str, Any]


class UnreachableError(MirrorError):
    """The server cannot be reached, or does not answer now (503)."""


class RefusedError(MirrorError):
    """The server refused. ``problem`` is its problem document (RFC 9457)."""

    def __init__(self, problem: Document) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "the server refused"))
        self.problem = problem

    @property
    def field_errors(self) -> list[tuple[str, str]]:
        """Each wrong field with what is wrong with it."""
        return [(str(each.get("field")), str(each.get("message"))) for each in self.problem.get("errors") or []]


class MirrorClient:
    """A connection to the server at the address ``server``. Every method may raise the two errors above."""

    def __init__(self, server: str, token: str = "") -> None:
        headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"} if token else {}
        self._server = server
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
        """Declare a file; return it, and whether it is new."""
        response = self._ask("POST", "/files", json=declaration)
        return _document(response), response.status_code == httpx.codes.CREATED

    def show(self, file_id: int) -> Document:
        """Return a file."""
        return _document(self._ask("GET", f"/files/{file_id}"))

    def find(self, id_or_uri: str) -> Document:
        """Return the file of this number or URI. Raises NotFoundError too."""
        if id_or_uri.isdecimal():
            return self.show(int(id_or_uri))
        found = next(self.files(uri=id_or_uri), None)
        if found is None:
            raise NotFoundError(f"{id_or_uri} is not declared")
        return found

    def files(self, *, limit: int | None = None, **filters: str) -> Iterator[Document]:
        """Yield the files for which all ``filters`` hold, newest first; at most ``limit``."""
        left = limit if limit is not None else float("inf")
        cursor = ""
        while left > 0:
            page_size = int(min(left, LIST_PAGE_SIZE))
            parameters = {**_given(filters), "cursor": cursor, "limit": page_size}
            page = _document(self._ask("GET", "/files", params=parameters), "files")
            yield from page["files"]
            left -= len(page["files"])
            cursor = page["next_cursor"]
            if not cursor:
                return

    def act(self, file_id: int, action: str, body: Mapping[str, Any] | None = None) -> Document:
        """Do ``action`` (retry, block, unblock) to a file; return it."""
        return _document(self._ask("POST", f"/files/{file_id}/{action}", json=body))

    def amend(self, file_id: int, checksums: list[str]) -> Document:
        """Replace the expected checksums of a file; return it."""
        return _document(self._ask("PATCH", f"/files/{file_id}", json={"checksums": checksums}))

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise UnreachableError(f"the server at {self._server} did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"cannot reach the server at {self._server}: {error}; is it running, and is --server right?"
            ) from error
        if response.is_success:
            return response
        problem = _problem(response, self._server)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnreachableError(str(problem["detail"]))
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
