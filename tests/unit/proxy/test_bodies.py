"""Bytes of a blob through real sockets, from memory and from a disk that was not read yet."""

import os
import random
import socket
import threading

import pytest

from distfile_mirror.blobs.cached_blob import HELD_BACK_BYTES, CachedBlob
from distfile_mirror.blobs.store import OpenBlob
from distfile_mirror.errors import StorageError
from distfile_mirror.proxy.bodies import (
    TLS_CHUNK_BYTES,
    ChunkPool,
    ColdError,
    GrowingBody,
    NotYetError,
    PlainBody,
    TlsBody,
    make_body,
)

CONTENT = random.Random(5).randbytes(3_000_000)


@pytest.fixture
def blob(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    with OpenBlob(fd, len(CONTENT)) as opened:
        yield opened


def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def deliver(body, ours, theirs):
    """Send all of ``body`` as a connection does; return what arrives, and how often it was cold."""
    received = bytearray()

    def receive():
        while piece := theirs.recv(1 << 20):
            received.extend(piece)

    reader = threading.Thread(target=receive)
    reader.start()
    cold = 0
    while not body.finished:
        try:
            body.send(ours)
        except BlockingIOError:
            continue
        except ColdError as error:
            cold += 1
            body.warm(error)
    body.close()
    ours.close()
    reader.join()
    theirs.close()
    return bytes(received), cold


@pytest.mark.parametrize(
    ("first", "end"), [(0, len(CONTENT)), (1, 2), (777, 1_777_777), (len(CONTENT) - 1, len(CONTENT))]
)
def test_plain_bodies_arrive(blob, first, end):
    received, _ = deliver(PlainBody(blob, first, end), *pair())
    assert received == CONTENT[first:end]


def test_what_is_not_in_memory_is_read_elsewhere(blob):
    os.posix_fadvise(blob.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    received, cold = deliver(PlainBody(blob, 0, len(CONTENT)), *pair())
    assert received == CONTENT
    assert cold > 0


@pytest.mark.parametrize(("first", "end"), [(0, len(CONTENT)), (5, 6), (99_999, 1_234_567)])
def test_tls_bodies_arrive_and_give_their_chunk_back(blob, first, end):
    os.posix_fadvise(blob.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    pool = ChunkPool()
    received, _ = deliver(TlsBody(blob, first, end, pool), *pair())
    assert received == CONTENT[first:end]
    assert len(pool._free) == 1


def test_chunks_are_lent_again_and_few_are_kept():
    pool = ChunkPool(keep=2)
    chunks = [pool.lend() for _ in range(5)]
    assert {len(chunk) for chunk in chunks} == {TLS_CHUNK_BYTES}
    for chunk in chunks:
        pool.give_back(chunk)
    assert len(pool._free) == 2
    again = pool.lend()
    assert any(again is chunk for chunk in chunks)


def test_a_blob_is_closed_when_nobody_has_it_any_more(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    shared = OpenBlob(fd, 0)
    answer_under_way = PlainBody(shared, 0, 0)
    del shared
    os.fstat(fd)
    del answer_under_way
    with pytest.raises(OSError):
        os.fstat(fd)


class Coming:
    """The progress of a blob that comes in as a test says."""

    def __init__(self):
        self.bytes = 0
        self.is_verified = self.has_failed = False

    def available(self):
        if self.has_failed:
            raise StorageError
        return self.bytes


def received_so_far(sock):
    received = b""
    sock.setblocking(False)
    while True:
        try:
            received += sock.recv(1 << 20)
        except BlockingIOError:
            return received


def send_what_may_be_sent(body, ours, theirs):
    """Send until the body says that there is no more yet; return what arrived."""
    received = b""
    while not body.finished:
        try:
            body.send(ours)
        except NotYetError:
            return received + received_so_far(theirs)
        except BlockingIOError:
            received += received_so_far(theirs)
        except ColdError as error:
            body.warm(error)
    return received + received_so_far(theirs)


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize(("first", "end"), [(0, len(CONTENT)), (500_000, 1_200_000), (10, 20)])
def test_a_blob_that_is_coming_in_is_sent_as_far_as_it_is_and_its_end_when_it_is_right(blob, kind, first, end):
    progress = Coming()
    pool = ChunkPool()
    growing = CachedBlob(os.dup(blob.fd), len(CONTENT), progress)
    inner = PlainBody(growing, first, end) if kind == "plain" else TlsBody(growing, first, end, pool)
    body = GrowingBody(inner, growing)
    ours, theirs = pair()
    received = b""
    for progress.bytes in (0, 100, 500_001, 600_000, len(CONTENT)):
        received += send_what_may_be_sent(body, ours, theirs)
        assert len(received) <= max(0, progress.bytes - first)
        assert received == CONTENT[first : first + len(received)]
    assert len(received) == max(0, end - first - HELD_BACK_BYTES)  # nothing is missing, and nothing is verified
    assert not body.finished
    progress.is_verified = True
    received += send_what_may_be_sent(body, ours, theirs)
    assert received == CONTENT[first:end]
    assert body.finished
    assert len(pool._free) == (kind == "tls")
    ours.close()
    theirs.close()


def test_a_blob_that_does_not_come_is_an_error(blob):
    progress = Coming()
    growing = CachedBlob(os.dup(blob.fd), len(CONTENT), progress)
    ours, theirs = pair()
    body = make_body(growing, 0, len(CONTENT), ours, ChunkPool())
    with pytest.raises(NotYetError):
        body.send(ours)
    assert not growing.is_stale
    progress.has_failed = True
    with pytest.raises(StorageError):
        body.send(ours)
    assert growing.is_stale
    ours.close()
    theirs.close()


def test_what_is_whole_is_sent_without_a_detour(blob):
    ours, theirs = pair()
    progress = Coming()
    progress.is_verified = True
    for each in (blob, CachedBlob(os.dup(blob.fd), 5), CachedBlob(os.dup(blob.fd), 5, progress)):
        assert type(make_body(each, 0, 5, ours, ChunkPool())) is PlainBody
    ours.close()
    theirs.close()
