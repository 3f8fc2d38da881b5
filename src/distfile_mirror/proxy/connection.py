"""One client connection on a non-blocking socket, driven by readiness callbacks.

It begins with a look at the first bytes: TLS, CONNECT, or plain HTTP. Requests are answered one
after the other, in order; while one is being answered nothing more is read, so that memory stays
bounded. What to answer is decided elsewhere; here bytes come in and go out.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from distfile_mirror.errors import MirrorError
from distfile_mirror.model.request_ids import request_id_of
from distfile_mirror.model.uris import Authority
from distfile_mirror.proxy import pages
from distfile_mirror.proxy.answers import ESTABLISHED, file_head, own_answer, page_answer, registry_base_answer
from distfile_mirror.proxy.bodies import make_body
from distfile_mirror.proxy.counters import Count
from distfile_mirror.proxy.decide import Refuse, Serve, ServeOwn, ServeRegistryBase, StartTls, decide
from distfile_mirror.proxy.files import ServedFile
from distfile_mirror.proxy.labels import label_of
from distfile_mirror.proxy.lookups import Found
from distfile_mirror.proxy.misses import miss_page
from distfile_mirror.proxy.request import REQUEST_ID, BadRequestError, Request, RequestParser, connect_head_length
from distfile_mirror.proxy.responses import plan_response
from distfile_mirror.proxy.routes import Channel
from distfile_mirror.proxy.sending import NO_REQUEST, Sending
from distfile_mirror.proxy.tls import MirrorSocket

if TYPE_CHECKING:
    from distfile_mirror.proxy.server import Worker

RECEIVE_BYTES = 16_384
LINGER_SECONDS = 2.0
# A worker that stops waits so long for requests on connections that it had promised to keep.
QUIET_SECONDS = 2.0
LINGER_BYTES = 262_144
TLS_HANDSHAKE_RECORD = 0x16

_OUTCOMES = {200: Count.SERVED, 206: Count.PARTIAL, 304: Count.NOT_MODIFIED}


class Connection(Sending):
    """Owns its socket from accept to close. All methods run in the worker's event loop."""

    def __init__(self, worker: "Worker", sock: socket.socket, client: str) -> None:
        super().__init__(worker, sock)
        self.client = client
        self._channel: Channel = worker.direct_channel
        self._parser = RequestParser(worker.limits.head_bytes)
        self._queue: deque[Request] = deque()
        self._read: Callable[[], None] = self._read_opening
        self._context: ssl.SSLContext | None = None
        self._opening = b""
        self._paused = False
        self._keep_alive = True
        self._label = ""
        self._linger = False
        self._lingered = 0
        self._next_limit = Count.LIMIT_IDLE_TIME
        self._set_deadline(Count.LIMIT_HEAD_TIME)
        if worker.closing:
            self.finish()
        worker.loop.add_reader(self.fd, self.on_readable)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is under way, so that closing it loses nothing."""
        return not self._busy and not self._queue and not self._parser.in_head

    def on_readable(self) -> None:
        """Take what came. The loop calls it when the socket has bytes, or its end."""
        if self._busy:
            self._paused = True
            self._worker.loop.remove_reader(self.fd)
            return
        try:
            self._read()
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._want_write()
        except OSError:
            self.close()

    def expire(self) -> None:
        """End what took too long; a client that is merely slow to take bytes gets more time."""
        if self._limit is Count.LIMIT_STALLED_WRITER and self._client_takes_bytes():
            self._set_deadline(Count.LIMIT_STALLED_WRITER)
            return
        if self._limit is not None:
            self._worker.counters[self._limit] += 1
        if self._limit is Count.LIMIT_HEAD_TIME and self._parser.in_head:
            self._refuse(408, "the request took too long to arrive")
            return
        self.close()

    def finish(self) -> None:
        """Answer what is under way, and what the client may be sending now, and close.

        A client that was promised another request on this connection finds it open for QUIET_SECONDS, and
        is told of the end with the answer (RFC 9112, 9.6).
        """
        if self.idle:
            self._limit = None  # nobody has exceeded anything
            self.deadline = min(self.deadline, self._worker.now + QUIET_SECONDS)

    def close(self) -> None:
        """Close now, whatever is under way."""
        if self.fd < 0:
            return
        self._worker.loop.remove_reader(self.fd)
        self._stop_writing()
        if self._body is not None and not self._warming:
            self._body.close()  # else a thread is at it: its chunk is not lent again
        self._body = None
        self._sock.close()
        self._worker.forget(self)
        self.fd = -1

    # Reading

    def _read_opening(self) -> None:
        """Look at the first bytes without taking them: what follows CONNECT's head belongs to TLS."""
        data = self._sock.recv(RECEIVE_BYTES, socket.MSG_PEEK)
        if not data:
            self.close()
            return
        if data[0] == TLS_HANDSHAKE_RECORD and not self._opening:
            self._start_handshake(self._worker.tls.direct_context())
            return
        self._opening += data
        length = connect_head_length(self._opening)
        if length is None:
            self._read = self._read_requests
        else:
            data = data[: length - len(self._opening) + len(data)]
        self._sock.recv(len(data))
        self._feed(data)

    def _read_requests(self) -> None:
        count = self._sock.recv_into(self._worker.receive_buffer)
        if count:
            self._feed(self._worker.receive_buffer[:count])
        else:
            self.close()

    def _read_lingering(self) -> None:
        """Throw away what a client still sends, so that it gets to read why it was refused."""
        count = self._sock.recv_into(self._worker.receive_buffer)
        self._lingered += count
        if not count or self._lingered > LINGER_BYTES:
            self.close()

    def _feed(self, data: bytes | memoryview) -> None:
        was_in_head = self._parser.in_head
        try:
            self._queue.extend(self._parser.feed(data))
        except BadRequestError as error:
            self._worker.counters[Count.LIMIT_HEAD_SIZE] += error.status in {414, 431}
            self._refuse(error.status, str(error))
            return
        if self._queue:
            self._next()
        elif not was_in_head:
            self._set_deadline(Count.LIMIT_HEAD_TIME)

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._worker.loop.add_reader(self.fd, self.on_readable)
        elif isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            self._worker.loop.call_soon(self._read_pending)

    def _read_pending(self) -> None:
        """Take what TLS has decrypted already: no readiness of the socket will tell of it."""
        if self.fd >= 0:
            self.on_readable()

    # TLS

    def _open_tunnel(self, authority: Authority, context: ssl.SSLContext | MirrorError) -> None:
        if self.fd < 0:
            return
        if isinstance(context, MirrorError):
            self._refuse(503, str(context))
            return
        self._worker.counters[Count.TUNNELS] += 1
        self._channel = Channel("http", authority)
        self._context = context
        self._parser = RequestParser(self._worker.limits.head_bytes)
        self._read = self._read_tunnel_opening
        self._keep_alive = True
        self._next_limit = Count.LIMIT_HANDSHAKE_TIME
        self._waiting_since = NO_REQUEST
        self._send(ESTABLISHED)
        self._next()

    def _read_tunnel_opening(self) -> None:
        first = self._sock.recv(1, socket.MSG_PEEK)
        if not first:
            self.close()
        elif first[0] == TLS_HANDSHAKE_RECORD:
            assert self._context is not None  # noqa: S101 - came with the tunnel
            self._start_handshake(self._context)
        else:
            self._next_limit = Count.LIMIT_IDLE_TIME
            self._read = self._read_requests
            self._read()

    def _start_handshake(self, context: ssl.SSLContext) -> None:
        self._set_deadline(Count.LIMIT_HANDSHAKE_TIME)
        self._sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        self._read = self._handshake
        self._handshake()

    def _handshake(self) -> None:
        sock = self._sock
        assert isinstance(sock, MirrorSocket)  # noqa: S101 - made by our own contexts
        try:
            sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self._worker.counters[Count.HANDSHAKES_FAILED] += 1
            raise
        self._worker.counters[Count.HANDSHAKES] += 1
        self._channel = self._channel.encrypted(sock.requested_name)
        self._read = self._read_requests
        self._next_limit = Count.LIMIT_IDLE_TIME
        self._set_deadline(Count.LIMIT_HEAD_TIME)
        self._read()

    # Answering

    def _next(self) -> None:
        while self._queue and not self._busy and self.fd >= 0:
            self._answer(self._queue.popleft())
        if not self._busy and self.fd >= 0 and not self._queue:
            self._resume_reading()

    def _answer(self, request: Request) -> None:
        self._keep_alive = request.keep_alive and not self._worker.closing
        self._linger = request.has_body
        self._waiting_since = 0.0
        if b"proxy-authorization" in request.headers:
            self._label = label_of(request.headers[b"proxy-authorization"])
        decision = decide(request, self._channel)
        if type(decision) is Serve:
            file = self._worker.lookups.cached(decision.uri)
            if file is not None:
                self._serve(request, file)
                return
            self._look_up(request, decision)
        elif isinstance(decision, StartTls):
            self._busy = True
            authority = decision.authority
            self._worker.tls.tunnel_context(authority.host, lambda context: self._open_tunnel(authority, context))
        elif isinstance(decision, ServeOwn):
            self._busy = True
            self._worker.own.answer(decision.path, lambda answer: self._answer_own(request, *answer))
        elif isinstance(decision, ServeRegistryBase):
            self._worker.counters[Count.SERVED] += 1
            self._send(
                registry_base_answer(decision.namespace, request, self._worker.date_lines, keep_alive=self._keep_alive)
            )
        elif isinstance(decision, Refuse):
            self._keep_alive &= not decision.close
            self._worker.counters[Count.REFUSED] += 1
            if decision.asked:
                self._worker.note_refused(decision.asked, self._label, self.client)
            page = pages.error_page(decision.status, decision.message, decision.headers, decision.code)
            self._send_page(request, page)

    def _look_up(self, request: Request, asked: Serve) -> None:
        self._busy = True
        self.deadline = float("inf")  # the look-up has limits of its own
        self._note_waiting()
        self._worker.counters[Count.LOOKUPS] += 1
        request_id = request_id_of(request.headers.get(REQUEST_ID, b"").decode("latin-1"))
        self._worker.lookups.find(
            asked.uri,
            asked.registry,
            lambda found: self._found(request, asked, found, request_id),
            request_id=request_id,
        )

    def _found(self, request: Request, asked: Serve, found: Found, request_id: str) -> None:
        if self.fd < 0:
            return
        self._busy = False
        if isinstance(found, ServedFile):
            self._serve(request, found)
        elif isinstance(found, MirrorError):
            self._worker.counters[Count.UNAVAILABLE] += 1
            self._worker.counters[Count.LOOKUPS_FAILED] += 1
            code = "UNAVAILABLE" if asked.registry else ""
            page = pages.error_page(503, str(found), {"Retry-After": "5"}, code)
            self._send_page(request, page.with_request_id(request_id))
        else:
            page = miss_page(asked, found, self._worker.admin_url)
            self._worker.counters[Count.BLOCKED if page.status == 451 else Count.MISSED] += 1  # noqa: PLR2004
            self._worker.note_miss(asked, found, self._label, self.client, request_id)
            self._send_page(request, page.with_request_id(request_id))
        self._next()

    def _serve(self, request: Request, file: ServedFile) -> None:
        plan = plan_response(request.headers, file.representation)
        self._worker.counters[_OUTCOMES.get(plan.status, Count.REFUSED)] += 1
        if file.artifact is not None and plan.status < 400 and request.method == b"GET":  # noqa: PLR2004
            self._worker.sightings.hit(file.artifact, self._label)
        head = file_head(plan, file, request, self._worker.date_lines, keep_alive=self._keep_alive)
        if not plan.length or request.method == b"HEAD":
            self._send(head)
        elif file.body is not None:
            body = file.body
            self._send(head + (body if plan.length == file.size else body[plan.first : plan.first + plan.length]))
        elif file.blob is not None:
            end = plan.first + plan.length
            self._body = make_body(file.blob, plan.first, end, self._sock, self._worker.chunks)
            self._send(head)

    def _answer_own(self, request: Request, status: int, lines: bytes, body: bytes) -> None:
        if self.fd < 0:
            return
        self._busy = False
        self._worker.counters[Count.OWN_PAGES] += 1
        self._send(own_answer(status, lines, body, request, self._worker.date_lines, keep_alive=self._keep_alive))
        self._next()

    def _send_page(self, request: Request, page: pages.Page) -> None:
        self._send(page_answer(page, request, self._worker.date_lines, keep_alive=self._keep_alive))

    def _refuse(self, status: int, message: str) -> None:
        """Answer to something that is no request, and end."""
        self._worker.counters[Count.REFUSED] += 1
        self._keep_alive = False
        self._linger = True
        self._queue.clear()
        request = Request(b"GET", b"", keep_alive=False, version="1.1")
        self._send_page(request, pages.error_page(status, message))

    # Ending

    def _answered(self) -> None:
        self._busy = False
        self._count_duration()
        self._stop_writing()
        if not self._keep_alive:
            self._end()
            return
        self._set_deadline(self._next_limit)
        if self._worker.closing:
            self.finish()

    def _end(self) -> None:
        """Close; where the client may still be sending, only our end first, so that it can read the answer."""
        if isinstance(self._sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self._sock.unwrap()  # says close_notify, and does not wait for the client's
        if not self._linger:
            self.close()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._queue.clear()
        self._read = self._read_lingering
        self._limit = None  # nobody has exceeded anything
        self.deadline = self._worker.now + LINGER_SECONDS
        self._resume_reading()
