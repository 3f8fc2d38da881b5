"""Writes answers as bytes: status line, header lines, body. Pure."""

from distfile_mirror.proxy.files import ServedFile, head_of
from distfile_mirror.proxy.pages import Page, render
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.responses import REASONS, Plan

_REGISTRY_BASE = b"Content-Type: application/json\r\nDocker-Distribution-Api-Version: registry/2.0\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_STATUS_LINES = {status: b"HTTP/1.1 %d %s\r\n" % (status, text.encode()) for status, text in REASONS.items()}


def file_head(plan: Plan, file: ServedFile, request: Request, date_lines: bytes, *, keep_alive: bool) -> bytes:
    """Return the head of an answer about a stored file."""
    return b"%s%s%s%s\r\n" % (
        _STATUS_LINES[plan.status],
        date_lines,
        head_of(plan, file),
        _connection_line(request, keep_alive=keep_alive),
    )


def page_answer(page: Page, request: Request, date_lines: bytes, *, keep_alive: bool) -> bytes:
    """Return a whole answer with a text, HTML for those who ask for it."""
    lines, body = render(page, html=b"text/html" in request.headers.get(b"accept", b""))
    status_line = b"HTTP/1.1 %d %s\r\n" % (page.status, (page.reason or REASONS[page.status]).encode())
    return _whole(status_line, lines, body, request, date_lines, keep_alive=keep_alive)


def own_answer(
    status: int, lines: bytes, body: bytes, request: Request, date_lines: bytes, *, keep_alive: bool
) -> bytes:
    """Return a whole answer of the server about itself."""
    return _whole(_STATUS_LINES[status], lines, body, request, date_lines, keep_alive=keep_alive)


def registry_base_answer(namespace: str, request: Request, date_lines: bytes, *, keep_alive: bool) -> bytes:
    """Return the answer to ``/v2/``: no token is asked for. ``namespace``: for OCI-Namespace, or empty."""
    lines = _REGISTRY_BASE + (f"OCI-Namespace: {namespace}\r\n".encode("latin-1", "replace") if namespace else b"")
    return _whole(_STATUS_LINES[200], lines, b"{}", request, date_lines, keep_alive=keep_alive)


def _whole(
    status_line: bytes, lines: bytes, body: bytes, request: Request, date_lines: bytes, *, keep_alive: bool
) -> bytes:
    connection = _connection_line(request, keep_alive=keep_alive)
    head = b"%s%s%sContent-Length: %d\r\n%s\r\n" % (status_line, date_lines, lines, len(body), connection)
    return head if request.method == b"HEAD" else head + body


def _connection_line(request: Request, *, keep_alive: bool) -> bytes:
    if not keep_alive:
        return b"Connection: close\r\n"
    return b"" if request.version == "1.1" else b"Connection: keep-alive\r\n"
