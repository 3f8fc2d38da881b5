"""The end of a listening socket, with real connections."""

import socket
import time

import pytest

from distfile_mirror.proxy.arrivals import let_no_more_in


def listening(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    sock.settimeout(5)
    return sock


def test_who_has_come_is_served_and_who_comes_later_gets_to_the_next():
    with listening() as old, socket.create_connection(old.getsockname()) as early, socket.socket() as late:
        early.send(b"early")
        let_no_more_in(old)
        late.setblocking(False)
        late.connect_ex(old.getsockname())
        time.sleep(0.1)
        accepted, _ = old.accept()
        with accepted:
            assert accepted.recv(9) == b"early"
            accepted.send(b"answer")
            assert early.recv(9) == b"answer"
        old.setblocking(False)
        with pytest.raises(BlockingIOError):
            old.accept()
        with listening(old.getsockname()[1]) as new:
            old.close()
            accepted, address = new.accept()  # the segment is sent again after a second
            accepted.close()
            assert address == late.getsockname()
