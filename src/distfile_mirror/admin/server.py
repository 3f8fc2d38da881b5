"""Serves the admin: Django in threads behind an HTTP server on the event loop, in one process."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from wsgiref.headers import Headers

import django_htmx
import uvicorn
from a2wsgi import WSGIMiddleware
from django.core.wsgi import get_wsgi_application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from whitenoise import WhiteNoise  # type: ignore[import-untyped]

from distfile_mirror.admin.settings import AdminContext, configure

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STATIC_FOLDER = Path(__file__).parent / "static"
HTMX_FOLDER = Path(django_htmx.__file__).parent / "static" / "django_htmx"
# A client that has just come when the server stops gets so long to ask.
FIRST_REQUEST_SECONDS = 0.2
UNHEARD = (signal.SIG_DFL, signal.default_int_handler)
STATIC_MAX_AGE_SECONDS = 86_400  # the address of a static file changes with its content


class PatientProtocol(HttpToolsProtocol):
    """Does not close on a client that was let in just before the stop, and whose request is on its way."""

    def shutdown(self) -> None:
        """Close the connection, when what is under way is answered."""
        if self.cycle is None:
            self.loop.call_later(FIRST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()


class UnambiguousHeaders(WSGIMiddleware):
    """Leaves out headers with an underscore: to WSGI, X_Forwarded_User of anybody is X-Forwarded-User of the proxy."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
            scope = {**scope, "headers": headers}
        await super().__call__(scope, receive, send)


def make_application(context: AdminContext) -> "WSGIApplication":
    """Set Django up in this process and return the whole admin, static files included.

    Raises:
        ValueError: for a database URL that is none.
    """
    configure(context)
    return with_static_files(get_wsgi_application())


def with_static_files(application: "WSGIApplication") -> "WSGIApplication":
    """Serve the package's static files under ``/static/``, straight from where it is installed."""
    served: Any = WhiteNoise(
        application,
        root=STATIC_FOLDER,
        prefix="static/",
        max_age=STATIC_MAX_AGE_SECONDS,
        allow_all_origins=False,
        add_headers_function=_add_static_headers,
    )
    served.add_files(HTMX_FOLDER, prefix="static/django_htmx/")
    application_with_files: WSGIApplication = served
    return application_with_files


def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Let ``server`` serve on the listening socket ``listener`` until SIGTERM or SIGINT, or its ``should_exit``.

    Returns when everything is closed. Signals are only heard in the main thread.
    """
    with _signals_end_here():
        server.run(sockets=[listener])


def make_server(application: "WSGIApplication", *, threads: int, stop_grace: float) -> uvicorn.Server:
    """Return a server that is not running yet.

    ``threads``: requests at a time. ``stop_grace``: seconds that requests under way get to finish.
    """
    # The cast: both sides have types of their own for WSGI.
    return uvicorn.Server(
        uvicorn.Config(
            UnambiguousHeaders(cast("Any", application), workers=threads),
            loop="asyncio",
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=ceil(stop_grace),
        )
    )


@contextmanager
def _signals_end_here() -> Iterator[None]:
    """Let nothing else happen when the server, having stopped, raises the signal that stopped it once more.

    A caller that hears these signals itself does so.
    """
    handled = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) in UNHEARD]
    previous = [signal.signal(number, lambda _number, _frame: None) for number in handled]
    try:
        yield
    finally:
        for number, handler in zip(handled, previous, strict=True):
            signal.signal(number, handler)


def _add_static_headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
