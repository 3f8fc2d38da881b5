"""A client for cold look-ups: `python -m benchmarks.ask PORT`, URIs on standard input, one each line.

It asks the proxy for each once, over one plain connection, and prints the median time to the whole
answer in seconds.
"""

import socket
import statistics
import sys
import time

_BUFFER_BYTES = 1 << 16


def main() -> None:
    uris = sys.stdin.read().split()
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(statistics.median([_ask(sock, uri) for uri in uris]))


def _ask(sock: socket.socket, uri: str) -> float:
    host = uri.split("/", 3)[2]
    request = f"GET {uri} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    begin = time.perf_counter()
    sock.sendall(request)
    answer = sock.recv(_BUFFER_BYTES)
    while not _is_whole(answer):
        more = sock.recv(_BUFFER_BYTES)
        if not more:
            sys.exit(f"the connection ended in the middle of {uri}")
        answer += more
    seconds = time.perf_counter() - begin
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"{uri}: {answer[:100]!r}")
    return seconds


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.partition(b":")[2])


if __name__ == "__main__":
    main()
