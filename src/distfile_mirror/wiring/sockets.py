"""Listening sockets: settled once, with patience for a process that has just been killed."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from distfile_mirror.config import ConfigurationError
from distfile_mirror.model.addresses import ListenAddress

BACKLOG = 4096
# The workers of a proxy that was killed a moment ago are gone a moment later.
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.1

T = TypeVar("T")


def listen(address: ListenAddress, *, reuse_port: bool) -> socket.socket:
    """Listen on ``address``; with ``reuse_port`` beside other processes. Raises OSError."""
    sock = _bind(address, reuse_port=reuse_port)
    sock.listen(BACKLOG)
    return sock


def can_listen(address: ListenAddress) -> bool:
    """Tell whether nobody listens on ``address``, and this process could."""
    try:
        _bind(address, reuse_port=False).close()
    except OSError:
        return False
    return True


@contextmanager
def listening(address: ListenAddress) -> Iterator[socket.socket]:
    """Listen on ``address`` alone. Raises ConfigurationError if somebody else does."""
    with _patiently(address, lambda: listen(address, reuse_port=False)) as sock:
        yield sock


@contextmanager
def reserved(address: ListenAddress) -> Iterator[ListenAddress]:
    """Settle the port of ``address``, and keep other users off it while workers listen there.

    Raises:
        ConfigurationError: if somebody else listens there.
    """
    # Sharing a port by accident would go unnoticed: first see that it is free.
    _patiently(address, lambda: _bind(address, reuse_port=False)).close()
    with _patiently(address, lambda: _bind(address, reuse_port=True)) as sock:
        yield address_of(sock, address)


def address_of(sock: socket.socket, wanted: ListenAddress) -> ListenAddress:
    """Return ``wanted`` with the port that ``sock`` has."""
    return ListenAddress(wanted.host, sock.getsockname()[1])


def _bind(address: ListenAddress, *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def _patiently(address: ListenAddress, take: Callable[[], socket.socket]) -> socket.socket:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return take()
        except OSError as error:
            if time.monotonic() > until:
                raise ConfigurationError(f"cannot listen on {address}: {error.strerror or error}") from None
            time.sleep(POLL_SECONDS)
