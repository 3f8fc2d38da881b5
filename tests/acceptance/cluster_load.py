"""Clients that ask proxies for files all the time, check every byte, and note each answer as a line of JSON.

A program of its own, so that it can run on a machine of its own: ``python -m tests.acceptance.cluster_load``, with
what to ask for as JSON on its input. It ends when its input does.
"""

import hashlib
import http.client
import itertools
import json
import os
import sys
import threading
import time
from dataclasses import dataclass

CLIENT_SECONDS = 30
PAUSE_SECONDS = 0.03
HOT_CLIENTS = 6
STRANGERS = 2


@dataclass(frozen=True)
class Answer:
    """One answer: when asked (Unix time), ``took`` seconds, by which proxy; ``status`` 0 where there was a ``fault``.

    ``right``: the bytes are those of the file.
    """

    at: float
    took: float
    proxy: str
    target: str
    status: int = 0
    right: bool = False
    retry_after: str | None = None
    fault: str = ""


class Client(threading.Thread):
    """Asks the proxies in turn for ``targets``: each other request by a new connection. ``sha256``: of each target."""

    def __init__(self, proxies, targets, sha256):
        super().__init__(daemon=True)
        self._turns = zip(itertools.cycle(proxies), targets, strict=False)
        self._sha256 = sha256
        self._connections = {}

    def run(self):
        for number, (proxy, target) in enumerate(self._turns):
            note(self.ask(proxy, target, keep=number % 4 < 2))
            time.sleep(PAUSE_SECONDS)

    def ask(self, proxy, target, *, keep):
        """Ask; return the Answer."""
        at = time.time()
        told = {}
        try:
            connection = self._connections.pop(proxy, None)
            if connection is None:
                connection = http.client.HTTPConnection(*proxy.split(":"), timeout=CLIENT_SECONDS)
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
            told = {"status": answer.status, "retry_after": answer.headers["Retry-After"]}
            told["right"] = hashlib.sha256(body).hexdigest() == self._sha256.get(target)
            if keep and not answer.will_close:
                self._connections[proxy] = connection
            else:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            told = {"fault": repr(error)}
        return Answer(at, time.time() - at, proxy, target, **told)


def strangers(number):
    """Yield addresses that nobody has declared, none of them twice."""
    for count in itertools.count():
        yield f"http://up.test/never-10-{number}-{count}"


def note(answer):
    """Write the answer in one piece."""
    os.write(1, (json.dumps(answer.__dict__) + "\n").encode())


def main():
    """Load until told to end."""
    asked = json.loads(sys.stdin.readline())
    proxies, sha256 = asked["proxies"], asked["sha256"]
    clients = []
    for number in range(HOT_CLIENTS):
        targets = list(sha256)
        # Each begins elsewhere, and asks either proxy for all of them.
        turned = targets[number:] + targets[:number]
        clients.append(Client(proxies, (name for name in itertools.cycle(turned) for _ in proxies), sha256))
    clients += [Client(proxies, strangers(number), {}) for number in range(STRANGERS)]
    for client in clients:
        client.start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
