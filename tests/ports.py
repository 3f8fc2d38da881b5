"""Ports for servers of the tests' own."""

import socket


def free_port():
    """Return a port of 127.0.0.1 that nobody uses."""
    return free_ports(1)[0]


def free_ports(count):
    """Return ports that nobody uses, each another one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
