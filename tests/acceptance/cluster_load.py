"""Clients that ask proxies for files all the time, check every byte, and note each answer as a line of JSON.

A program of its own, so that it can run on a machine of its own: ``python -m tests.acceptance.cluster_load``, with
what to ask for as JSON on its input. It ends when its input does.
"""

import hashlib
import http.client
import itertools
import json
import os
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

CLIENT_SECONDS = 30
PAUSE_SECONDS = 0.03
# How many requests each client makes on a connection. Half of the clients ask in tunnels, with TLS.
PLAIN_CLIENTS = (2, 2, 2)
TLS_CLIENTS = (1, 2, 8)
PLAIN_STRANGERS = (2,)
TLS_STRANGERS = (4,)


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
    """Asks the proxies in turn for ``targets``, ``each`` times by a connection. ``sha256``: of each target.

    What is https:// it asks for in a tunnel that it makes with CONNECT, and ``trust`` says whose certificates it takes;
    all that is at one host.
    """

    def __init__(self, proxies, targets, sha256, *, each, trust):
        super().__init__(daemon=True)
        self._proxies = proxies
        self._turns = zip(itertools.cycle(proxies), targets, strict=False)
        self._sha256 = sha256
        self._each = each
        self._trust = trust
        self._connections = {}

    def run(self):
        for number, (proxy, target) in enumerate(self._turns):
            note(self.ask(proxy, target, keep=(number // len(self._proxies) + 1) % self._each != 0))
            time.sleep(PAUSE_SECONDS)

    def ask(self, proxy, target, *, keep):
        """Ask; return the Answer."""
        at = time.time()
        told = {}
        try:
            connection = self._connections.pop(proxy, None)
            if connection is None:
                connection = self._new_connection(proxy, target)
            connection.request("GET", urlsplit(target).path if target.startswith("https://") else target)
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

    def _new_connection(self, proxy, target):
        if not target.startswith("https://"):
            return http.client.HTTPConnection(*proxy.split(":"), timeout=CLIENT_SECONDS)
        connection = http.client.HTTPSConnection(*proxy.split(":"), timeout=CLIENT_SECONDS, context=self._trust)
        connection.set_tunnel(urlsplit(target).hostname, 443)
        return connection


def strangers(scheme, number):
    """Yield addresses that nobody has declared, none of them twice."""
    for count in itertools.count():
        yield f"{scheme}://up.test/never-10-{number}-{count}"


def all_in_turn(targets, number, proxies):
    """Yield the targets for ever, each as often as there are proxies, beginning with ``number``."""
    turned = targets[number:] + targets[:number]
    return (name for name in itertools.cycle(turned) for _ in proxies)


def note(answer):
    """Write the answer in one piece."""
    os.write(1, (json.dumps(answer.__dict__) + "\n").encode())


def main():
    """Load until told to end."""
    asked = json.loads(sys.stdin.readline())
    proxies, sha256 = asked["proxies"], asked["sha256"]
    trust = ssl.create_default_context(cafile=asked["ca"])
    clients = []
    for scheme, own, foreign in (("http", PLAIN_CLIENTS, PLAIN_STRANGERS), ("https", TLS_CLIENTS, TLS_STRANGERS)):
        targets = [name for name in sha256 if name.startswith("https://") == (scheme == "https")]
        clients += [
            Client(proxies, all_in_turn(targets, number, proxies), sha256, each=each, trust=trust)
            for number, each in enumerate(own)
        ]
        clients += [
            Client(proxies, strangers(scheme, number), {}, each=each, trust=trust)
            for number, each in enumerate(foreign)
        ]
    for client in clients:
        client.start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
