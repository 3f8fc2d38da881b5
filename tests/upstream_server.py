"""A real upstream on loopback for tests: TLS with a CA of its own, plain HTTP, and any misbehaviour there is.

A handler gets an Exchange and may answer properly (``respond``), or write raw bytes, wait, or cut
the connection. Requests are kept, so that a test sees what was really asked.
"""

import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HTTP_DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
LATER_HTTP_DATE = "Tue, 02 Jan 2024 00:00:00 GMT"


@dataclass(frozen=True)
class Request:
    """One request as it came. ``headers`` by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def host(self):
        return self.headers.get("host", "")

    @property
    def range_start(self):
        """The N of ``Range: bytes=N-``, or None."""
        text = self.headers.get("range", "")
        return int(text.removeprefix("bytes=").removesuffix("-")) if text else None


@dataclass
class Exchange:
    """A request, and the connection on which it is answered."""

    request: Request
    connection: socket.socket
    number: int
    keep_alive: bool = True

    def respond(self, body=b"", *, status=200, reason="OK", headers=(), announce=True):
        """Answer. ``headers``: pairs or a dict; ``announce``: with a Content-Length."""
        self.head(status, reason, {**({"Content-Length": str(len(body))} if announce else {}), **dict(headers)})
        self.send(body)
        self.keep_alive = self.keep_alive and announce

    def head(self, status=200, reason="OK", headers=()):
        lines = [f"HTTP/1.1 {status} {reason}", f"Date: {LATER_HTTP_DATE}"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def send(self, data):
        self.connection.sendall(data)

    def reset(self):
        """Cut the connection with a TCP reset."""
        self.keep_alive = False
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self):
        """End the connection after this answer."""
        self.keep_alive = False


Handler = Callable[[Exchange], None]


def file(body, **headers):
    """Make a handler that serves ``body`` well: ETag, Last-Modified, single ranges with If-Range."""
    fields = {"ETag": '"v1"', "Last-Modified": HTTP_DATE, **{name.replace("_", "-"): v for name, v in headers.items()}}

    def handle(exchange):
        start = exchange.request.range_start
        if start is None or exchange.request.headers.get("if-range") not in {None, fields["ETag"]}:
            exchange.respond(body, headers=fields)
            return
        span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        exchange.respond(body[start:], status=206, reason="Partial Content", headers={**fields, **span})

    return handle


def redirect(location, status=302):
    """Make a handler that redirects."""
    return lambda exchange: exchange.respond(status=status, reason="Found", headers={"Location": location})


class TestAuthority:
    """A CA for tests; ``ca_file`` is its certificate, in ``folder``."""

    __test__ = False

    def __init__(self, folder: Path, name="Test CA"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = (x509.BasicConstraints(ca=True, path_length=None), True)
        usage = (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
        self._certificate = self._sign(self._name, self._key.public_key(), [constraints, usage])
        self.ca_file = folder / f"{name.replace(' ', '-').lower()}.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, *names):
        """Make a server's TLS context with a certificate for ``names`` and addresses (no client takes ``*.test``)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(*names))
        return context

    def server_file(self, *names):
        """Make a PEM file with a key and its certificate for ``names`` and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([]), key.public_key(), [(x509.SubjectAlternativeName(_sans(names)), True)])
        path = self._folder / f"leaf-{certificate.serial_number:x}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _sign(self, subject, public_key, extensions):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _sans(names):
    for name in names:
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            yield x509.DNSName(name)


@dataclass
class UpstreamServer:
    """Serves ``routes`` on a free port, a thread for each connection.

    They go from target, or host + target, or path + "?" (whatever the query), to handler.

    ``tls``: a server context, or None for plain HTTP. Enter it as a context.
    """

    tls: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    routes: dict[str, Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self):
        self._listener = socket.create_server((self.address, 0))
        self.port = self._listener.getsockname()[1]
        self._connections: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    @property
    def authority(self):
        """``address:port``."""
        return f"{self.address}:{self.port}"

    def asked(self, target):
        """Return the requests for the path ``target``."""
        return [request for request in self.requests if request.target == target]

    def handler_for(self, request):
        """Return what answers ``request``."""
        path = request.target.partition("?")[0]
        places = (request.host + request.target, request.target, path + "?")
        return next((self.routes[place] for place in places if place in self.routes), _not_found)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        raw = connection
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._connections.add(connection)
            self._converse(connection)
        except (OSError, ValueError):
            pass  # the client went away, or was sent away
        finally:
            for one in (connection, raw):
                self._connections.discard(one)
                one.close()

    def _converse(self, connection):
        with connection.makefile("rb") as reader:
            while request := _read_request(reader):
                self.requests.append(request)
                handler = self.handler_for(request)
                exchange = Exchange(request, connection, len(self.asked(request.target)))
                handler(exchange)
                if not exchange.keep_alive:
                    return


def _not_found(exchange):
    exchange.respond(b"no such file", status=404, reason="Not Found")


def _read_request(reader):
    line = reader.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (text := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    return Request(line[0], line[1], headers, reader.read(int(headers.get("content-length", 0))))
