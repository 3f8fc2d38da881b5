"""An upstream that has any file whose name says how large it is, and counts which ones it sent to the last byte."""

import fcntl
import random
import struct
import termios
import threading
import time
from collections import Counter
from functools import cache

from tests.upstream_server import HTTP_DATE, UpstreamServer

HOST = "up.test"
# For a client to acknowledge the last bytes.
LAST_BYTES_SECONDS = 5
GATE_SECONDS = 120


def url_of(name):
    """Return the address of a file; what is secret comes by TLS."""
    return f"{'https' if name.startswith('secret') else 'http'}://{HOST}/{name}"


@cache
def content_of(name):
    """Return the bytes of a file; its name is ``KIND-BYTES-NUMBER``."""
    return random.Random(name).randbytes(int(name.split("-")[1]))


class CountingUpstream(UpstreamServer):
    """The upstream. ``completed``: how often each file was sent to its last byte, and that byte was acknowledged.

    Of files whose kind is ``slow`` the second half is sent when ``open_gate`` says so.
    """

    def __enter__(self):
        self.completed = Counter()
        self.begun = Counter()
        self._gates = {}
        return super().__enter__()

    def open_gate(self, name):
        """Let the rest of a slow file go."""
        self._gate(name).set()

    def wait_until_begun(self, name, times=1):
        """Wait until somebody has got the first half of a slow file."""
        until = time.monotonic() + 60
        while self.begun[name] < times:
            assert time.monotonic() < until, f"{name}: {self.begun[name]} times"
            time.sleep(0.02)

    def handler_for(self, request):
        return self._serve_file

    def _gate(self, name):
        return self._gates.setdefault(name, threading.Event())

    def _serve_file(self, exchange):
        name = exchange.request.target.removeprefix("/")
        content = content_of(name)
        start = exchange.request.range_start or 0
        headers = {"ETag": f'"{name}"', "Last-Modified": HTTP_DATE, "Content-Length": len(content) - start}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        exchange.head(206 if start else 200, "OK", headers)
        if exchange.request.method == "HEAD":
            return
        half = max(start, len(content) // 2)
        exchange.send(content[start:half])
        self.begun[name] += 1
        if name.startswith("slow") and not self._gate(name).wait(GATE_SECONDS):
            exchange.close()
            return
        exchange.send(content[half:])
        if _has_arrived(exchange.connection):
            self.completed[name] += 1
        else:
            exchange.close()


def _has_arrived(connection):
    """Tell whether all that was sent is acknowledged, waiting a little for it."""
    until = time.monotonic() + LAST_BYTES_SECONDS
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
