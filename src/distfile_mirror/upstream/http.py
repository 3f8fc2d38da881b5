"""Fetching one file: redirects, resumes, limits. Bytes go into a sink exactly as they came.

Only a 200 is a file, or a 206 that continues our own beginning of it. A body whose end cannot be
told from a cut is accepted only where a checksum will tell. After a cut in the middle the
original URI is asked again, since redirects may lead to addresses that expire.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.model.uris import FileUri, parse_file_uri
from distfile_mirror.upstream import resume
from distfile_mirror.upstream.access import ANYBODY, Access
from distfile_mirror.upstream.bodies import Body, CutBodyError
from distfile_mirror.upstream.connections import Connections
from distfile_mirror.upstream.patience import Patience, Phase, Watch
from distfile_mirror.upstream.redirects import next_hop
from distfile_mirror.upstream.settings import Head, Received, Sink, UpstreamSettings
from distfile_mirror.upstream.statuses import REDIRECTS, UNAUTHORIZED, one_line

RESUME_PAUSE_SECONDS = 0.2


class _CutError(TransientFetchError):
    """The body ended too early; what came of it is good."""


@dataclass(slots=True)
class _Transfer:
    """How far a fetch has come. ``furthest`` is the most that any attempt has received, in bytes."""

    uri: str
    sink: Sink
    checked: bool
    by_digest: bool
    access: Access
    head: Head | None = None
    received: int = 0
    furthest: int = 0
    asked_again: bool = False
    resumed: bool = False
    asked: FileUri = field(init=False)
    patience: Patience = field(init=False)

    @property
    def partial(self) -> resume.Partial | None:
        return resume.Partial(self.head, self.received, self.by_digest) if self.head and self.received else None


class Upstream:
    """Fetches files from the Internet. Enter it as an asynchronous context inside the loop that uses it."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._connections = Connections(settings)
        self._watch = Watch()

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def fetch(
        self, uri: str, sink: Sink, *, checked: bool, by_digest: bool = False, access: Access = ANYBODY
    ) -> Received:
        """Fetch ``uri`` into ``sink``. ``checked``: the caller has a checksum to compare with.

        ``by_digest``: the upstream can only ever have these bytes there, so that a cut download goes on
        without a validator. ``access``: in whose name it is asked, and what a refusal means.

        Raises:
            TransientFetchError: if it may work later.
            PermanentFetchError: if it will not by itself.
            StorageError: whatever the sink raises.
        """
        transfer = _Transfer(uri, sink, checked, by_digest, access)
        try:
            async with asyncio.timeout(None) as clock:
                transfer.patience = Patience(clock, self._settings.total_timeout)
                self._watch.add(transfer.patience)
                return await self._fetch(transfer)
        except TimeoutError:
            raise TransientFetchError(self._too_slow(transfer)) from None
        finally:
            self._watch.remove(transfer.patience)

    async def look(self, uri: str) -> Head:
        """Ask by HEAD what is at ``uri``, redirects followed, and return the head of the last answer.

        Raises:
            TransientFetchError, PermanentFetchError: if there is no answer, or no way to it.
        """
        current, visited = parse_file_uri(uri), []
        try:
            async with asyncio.timeout(self._head_patience):
                while True:
                    visited.append(str(current))
                    head, body = await self._connections.ask(current, {}, method="HEAD")
                    body.give_back()  # of which there is none: the connection is not used again
                    if head.status not in REDIRECTS:
                        return head
                    current = next_hop(visited, current, head)
        except TimeoutError:
            raise TransientFetchError(f"{current} did not answer within {self._head_patience:g} s") from None

    def _too_slow(self, transfer: _Transfer) -> str:
        phase = transfer.patience.phase
        if phase is Phase.HEAD:
            return f"{transfer.asked}: {transfer.asked.authority.host} did not answer within {self._head_patience:g} s"
        if phase is Phase.BODY:
            limits = f"{self._settings.stall_bytes} bytes within {self._settings.stall_timeout:g} seconds"
            return self._cut(transfer, f"fewer than {limits} came")
        seconds = f"{self._settings.total_timeout:g} seconds"
        return f"{transfer.uri} did not come within {seconds} ({transfer.received} bytes did)"

    @property
    def _head_patience(self) -> float:
        """Seconds for the head of an answer: connecting has a limit of its own, and then it is a stall."""
        return self._settings.connect_timeout + self._settings.stall_timeout

    async def _fetch(self, transfer: _Transfer) -> Received:
        while True:
            try:
                return await self._attempt(transfer)
            except _CutError:
                if transfer.received <= transfer.furthest:
                    raise
                transfer.furthest = transfer.received
            await asyncio.sleep(RESUME_PAUSE_SECONDS)

    async def _attempt(self, transfer: _Transfer) -> Received:
        """Ask once, and again without a range if the range was not answered as it should be."""
        headers = resume.request_headers(transfer.partial)
        head, body = await self._follow(transfer, headers)
        try:
            step = resume.decide(transfer.partial if headers else None, head)
            if step is not resume.Step.ASK_AGAIN:
                return await self._receive(transfer, head, body, step)
        finally:
            body.give_back()
        if transfer.asked_again:
            raise TransientFetchError(f"{transfer.uri} was cut, and the upstream answers wrongly when asked to go on")
        transfer.asked_again = True
        transfer.received = 0
        return await self._attempt(transfer)

    async def _follow(self, transfer: _Transfer, headers: dict[str, str]) -> tuple[Head, Body]:
        current = parse_file_uri(transfer.uri)
        visited: list[str] = []
        at_home = True
        while True:
            visited.append(str(current))
            # Who was sent elsewhere shows no credentials any more, not even when sent back.
            at_home = at_home and transfer.access.is_home(current)
            head, body = await self._ask(transfer, current, headers, at_home=at_home)
            if head.status not in REDIRECTS or transfer.access.form is not None:
                return head, body
            body.give_back()
            current = next_hop(visited, current, head)

    async def _ask(
        self, transfer: _Transfer, uri: FileUri, headers: Mapping[str, str], *, at_home: bool
    ) -> tuple[Head, Body]:
        """Ask one address, and once more if it wants to know who asks."""
        access = transfer.access
        transfer.asked = uri
        sent = access.headers(at_home=at_home)
        transfer.patience.allow(self._head_patience, Phase.HEAD)
        head, body = await self._connections.ask(uri, {**headers, **sent}, access.form)
        if head.status != UNAUTHORIZED or not at_home:
            return head, body
        body.give_back()
        transfer.patience.relax()
        if await access.renew(head, sent):
            transfer.patience.allow(self._head_patience, Phase.HEAD)
            return await self._connections.ask(uri, {**headers, **access.headers(at_home=True)}, access.form)
        return head, body

    async def _receive(self, transfer: _Transfer, head: Head, body: Body, step: resume.Step) -> Received:
        if step is resume.Step.START:
            transfer.access.check_status(head, transfer.uri, now=datetime.now(UTC))
            self._check_framing(transfer, head)
            transfer.head, transfer.received = head, 0
            transfer.resumed = False
            await transfer.sink.start(head)
        else:
            transfer.resumed = True
        await self._read_body(transfer, head, body)
        assert transfer.head is not None  # noqa: S101 - set where the sink was started
        return Received(transfer.head, transfer.received, transfer.resumed)

    def _check_framing(self, transfer: _Transfer, head: Head) -> None:
        length = head.content_length
        if length is not None and length > self._settings.max_bytes:
            raise PermanentFetchError(self._too_large(transfer.uri, f"it has {length} bytes"))
        if head.headers.get("Transfer-Encoding") and not head.is_chunked:
            coding = one_line(head.headers["Transfer-Encoding"])
            raise PermanentFetchError(f"{transfer.uri} came with the transfer coding {coding}, which nobody asked for")
        if head.ends_by_close and not transfer.checked:
            raise PermanentFetchError(
                f"{transfer.uri} came without saying how long it is, so a cut file could not be told from a whole one; "
                "declare a checksum with it"
            )

    def _too_large(self, uri: str, found: str) -> str:
        return f"{uri} is too large: {found}; at most {self._settings.max_bytes} are accepted (download_max_bytes)"

    async def _read_body(self, transfer: _Transfer, head: Head, body: Body) -> None:
        begin = transfer.received
        try:
            await self._pump(transfer, body)
        except CutBodyError as error:
            raise _CutError(self._cut(transfer, one_line(error.reason))) from error
        transfer.patience.relax()
        length = head.content_length
        if length is not None and transfer.received - begin != length:
            raise _CutError(self._cut(transfer, f"{length} bytes were announced"))
        total = resume.total_bytes(head)
        if total is not None and transfer.received < total:
            raise _CutError(self._cut(transfer, f"the whole has {total} bytes"))

    async def _pump(self, transfer: _Transfer, body: Body) -> None:
        """Move the body into the sink; the time that the sink takes is not the upstream's."""
        patience = transfer.patience
        patience.allow(self._settings.stall_timeout, Phase.BODY)
        window = 0
        while data := await body.read():
            transfer.received += len(data)
            if transfer.received > self._settings.max_bytes:
                raise PermanentFetchError(self._too_large(transfer.uri, f"{transfer.received} bytes came, and more"))
            window += len(data)
            full = transfer.sink.write(data)
            if full:
                patience.relax()
                await transfer.sink.drain()
            if full or window >= self._settings.stall_bytes:
                window = 0
                patience.allow(self._settings.stall_timeout, Phase.BODY)

    def _cut(self, transfer: _Transfer, why: str) -> str:
        return f"{transfer.uri} was cut after {transfer.received} bytes: {why}"
