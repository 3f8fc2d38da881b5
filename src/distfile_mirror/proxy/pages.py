"""What the proxy says for itself: errors, misses, and what it is. Plain text, or HTML for a browser. Pure.

A miss is a 404 whatever the reason (clients retry other statuses, or give up on them); it names the
URL, says why, and links to the declaration form filled in. Its reason phrase is short and true,
because that is what some clients print.
"""

import json
from dataclasses import dataclass, field, replace
from html import escape
from urllib.parse import quote, urlsplit

from distfile_mirror.catalog.found import FoundFile
from distfile_mirror.model.request_ids import HEADER
from distfile_mirror.model.states import State
from distfile_mirror.proxy.responses import REASONS

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace;font-size:14px;overflow-wrap:anywhere;white-space:pre-wrap}"
)
_WHAT_IT_IS = (
    "This is a proxy for builds. It serves what was declared, under its original URL, for ever; "
    "it never fetches anything on demand."
)
_OTHER_FORMS = "(also as /ca.der, and for Java as /ca.p12 with the password changeit)."


@dataclass(frozen=True, slots=True)
class Page:
    """An answer with a text. ``reason`` is the reason phrase; ``headers`` extra headers by name.

    With ``code`` it is a registry's error, in JSON.
    """

    status: int
    title: str
    paragraphs: tuple[str, ...]
    link: str = ""
    command: str = ""
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""

    def with_request_id(self, request_id: str) -> "Page":
        """Return it with the id by which the log tells of the request."""
        return replace(self, headers={**self.headers, HEADER: request_id})


def error_page(status: int, message: str, headers: dict[str, str] | None = None, code: str = "") -> Page:
    """Say that something is wrong with a request, or with this server."""
    return Page(status, REASONS[status], (message,), headers=headers or {}, code=code)


def miss_page(uri: str, found: FoundFile | None, admin_url: str) -> Page:
    """Say why ``uri`` is not served, and what to do."""
    form = f"{admin_url}/files/declare?uri={quote(uri, safe='')}"
    if found is None:
        return _not_declared(uri, form, admin_url)
    listing = f"{admin_url}/?q={quote(uri, safe='')}"
    if found.state is State.BLOCKED:
        text = f"{uri} is mirrored, and somebody blocked its use: {found.message}"
        return Page(451, "Blocked", (text,), link=listing, reason="Blocked in Distfile Mirror")
    if found.state is State.FAILED:
        text = f"{uri} is declared, and its download failed: {found.message}"
        return Page(404, "Download failed", (text,), link=listing, reason="Declared but its download failed")
    if found.state is State.REJECTED:
        text = f"{uri} was declared, and rejected: {found.message}"
        return Page(404, "Rejected", (text,), link=listing, reason="Declared but rejected")
    if found.state is State.REQUESTED:
        text = f"{uri} is declared, and waits for somebody to approve it."
        return Page(404, "Waiting for approval", (text,), link=listing, reason="Declared but not approved yet")
    return _not_there_yet(uri, found, listing)


def home_page(admin_url: str, proxy_url: str, fingerprint: str) -> Page:
    """Say what this server is, to somebody who asks it directly."""
    return Page(
        200,
        "Distfile Mirror",
        (
            _WHAT_IT_IS,
            f"Use it as your HTTP and HTTPS proxy, and trust its CA: {proxy_url}/ca.pem {_OTHER_FORMS}",
            f"The sha256 fingerprint of the CA is {fingerprint}.",
            "What is mirrored, and how to declare more:",
        ),
        link=admin_url,
        command=f"curl --proxy {proxy_url} --cacert ca.pem -O https://example.org/foo-1.2.tar.gz",
    )


def render(page: Page, *, html: bool) -> tuple[bytes, bytes]:
    """Return header lines (type and extra ones) and body."""
    if page.code:
        text, kind = _errors(page), "application/json"
    else:
        text, kind = (_html(page), "text/html; charset=utf-8") if html else (_text(page), "text/plain; charset=utf-8")
    headers = {"Content-Type": kind, "X-Content-Type-Options": "nosniff", **page.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return lines.encode("latin-1", "replace"), text.encode("utf-8", "replace")


def _not_declared(uri: str, form: str, admin_url: str) -> Page:
    if is_git(uri):
        text = (
            f"{uri} belongs to git, which is a conversation and cannot be replayed as a file. "
            "Fetch a release archive instead, declared by its URL; or bundle the repository and mirror the bundle."
        )
        return Page(404, "Git is not mirrored", (text,), reason="Git cannot be mirrored as a file")
    return Page(
        404,
        "Not mirrored",
        (
            f"{uri} is not mirrored: nobody declared it, and this proxy fetches nothing by itself.",
            f"All that builds lack, this too in a few seconds: {admin_url}/misses",
            "Declare it, saying what it is for; a moment later the same request works:",
        ),
        link=form,
        command=f"distfile-mirror add --project PROJECT --reason WHY --wait {_shell_quoted(uri)}",
        reason="Not declared in Distfile Mirror",
    )


def _not_there_yet(uri: str, found: FoundFile, listing: str) -> Page:
    lines = [f"{uri} is declared, and not here yet."]
    if found.state is State.FETCHING:
        total = f" of {found.total_bytes:,}" if found.total_bytes else ""
        lines.append(f"It is being fetched now: {found.received_bytes:,}{total} bytes have come.")
    if found.message:
        lines.append(f"The last attempt failed, and it will be tried again: {found.message}")
    return Page(404, "Not here yet", tuple(lines), link=listing, reason="Declared but not fetched yet")


def is_git(uri: str) -> bool:
    """Tell whether ``uri`` is part of git's smart HTTP."""
    parts = urlsplit(uri)
    return parts.path.endswith(("/info/refs", "/git-upload-pack")) or "service=git-" in parts.query


def _shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _text(page: Page) -> str:
    lines = [page.title, "", *page.paragraphs]
    lines += [part for part in ("", page.link) if page.link]
    lines += [part for part in ("", page.command) if page.command]
    return "\n".join(lines) + "\n"


def _errors(page: Page) -> str:
    message = " ".join(page.paragraphs)
    return json.dumps({"errors": [{"code": page.code, "message": message, "detail": {"why": page.title}}]})


def _html(page: Page) -> str:
    parts = [f"<p>{escape(paragraph)}</p>" for paragraph in page.paragraphs]
    if page.link:
        parts.append(f'<p><a href="{escape(page.link)}">{escape(page.link)}</a></p>')
    if page.command:
        parts.append(f"<pre>{escape(page.command)}</pre>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(page.title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(page.title)}</h1>{''.join(parts)}</body></html>\n"
    )
