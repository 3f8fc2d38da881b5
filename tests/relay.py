"""A TCP relay on loopback in front of a server: it counts requests, hides fields, slows down, and cuts connections."""

import re
import socket
import threading
import time
from contextlib import suppress

REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (/\S*) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
RANGE = re.compile(rb"(?im)^range: *bytes=(\d+)-")
PIECE_BYTES = 65_536
FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 40\r\n\r\n"
    b"<Error><Code>AccessDenied</Code></Error>"
)


class Relay:
    """Relays to ``port`` of this machine, from enter to exit.

    ``requests``: method, path and first byte of each. ``bytes_per_second``: of each answer; 0: no limit.
    ``forbidden``: methods that are answered 403, as if the server did not let this client. ``hidden``: the name of a
    field that requests have and the server does not get.
    """

    def __init__(self, port, hidden=""):
        self._target = port
        self._hidden = re.compile(rb"(?i)\r\n%s:[^\r]*" % hidden.encode()) if hidden else None
        self.requests = []
        self.bytes_per_second = 0
        self.forbidden = set()
        self._connections = set()
        self._threads = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def cut(self):
        """Break every connection."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def asked(self, method, part):
        """Return the first bytes asked for by requests of ``method`` whose path has ``part``."""
        return [first for each, path, first in self.requests if each == method and part in path]

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._connections |= {client, server}
            self._start(self._relay, client, server, self._asked)
            self._start(self._relay, server, client, self._slow_down)

    def _relay(self, source, sink, seen):
        with suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                passed = seen(data)
                if data.partition(b" ")[0].decode("latin-1") in self.forbidden:
                    source.sendall(FORBIDDEN)
                else:
                    sink.sendall(passed)
        for connection in (source, sink):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            self._connections.discard(source)
        source.close()

    def _asked(self, data):
        for method, path, headers in REQUEST.findall(data):
            first = RANGE.search(headers)
            self.requests.append((method.decode(), path.decode(), int(first[1]) if first else 0))
        return self._hidden.sub(b"", data) if self._hidden else data

    def _slow_down(self, data):
        if self.bytes_per_second:
            time.sleep(len(data) / self.bytes_per_second)
        return data
