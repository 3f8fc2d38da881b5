"""The components as production runs them: each a process of its own, in any number, one database and one store."""

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

from tests.acceptance.running_mirror import DIRECT, PROGRAM, clean_environment
from tests.ports import free_port

READY_SECONDS = 30


class Component:
    """One process of the product. ``prefix``: a command that runs it elsewhere, such as in a network namespace."""

    def __init__(self, folder, name, *arguments, environment=(), prefix=(), address="127.0.0.1"):
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.port = 0
        self.address = address
        self._command = [*prefix, PROGRAM, *arguments]
        self._environment = clean_environment(**dict(environment))
        self.process = None

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    def listen(self, flag, port=0):
        """Listen on ``port``, or a free one, by ``flag``."""
        self.port = port or free_port()
        self._command += [flag, f"{self.address}:{self.port}"]
        return self

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
            )
        return self

    def wait_until_up(self, path="/health"):
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()}"
            with suppress(OSError, urllib.error.URLError):
                DIRECT.open(f"{self.url}{path}", timeout=5).close()
                return self
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not up: {self.log.read_text()}")

    def stop(self):
        """End it as an operator does; return its exit status."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        return self.process.returncode if self.process else None

    def kill(self):
        """End it as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def is_running(self):
        return self.process is not None and self.process.poll() is None


@contextmanager
def watched(folder, name, data):
    """Run a component ``name`` on the data folder ``data`` that has no port but for its metrics, which is given."""
    port = free_port()
    environment = {"DISTFILE_MIRROR_METRICS_LISTEN": f"127.0.0.1:{port}"}
    component = Component(folder, name, name, "--watch", "--data-dir", data, environment=environment)
    component.port = port
    try:
        component.start().wait_until_up("/health")
        yield port
    finally:
        component.stop()


def command(folder, *arguments, check=True, environment=()):
    """Run a command of the product to its end."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=clean_environment(**dict(environment)),
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def api(admin, path, document=None, method=None, headers=()):
    """Ask the REST API of the component ``admin``; return the status and what it answered."""
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(
        f"{admin.url}/api/v1{path}",
        data=data,
        method=method,
        headers={"Content-Type": "application/json", **dict(headers)},
    )
    try:
        with DIRECT.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def get(proxy, url, timeout=30, ca=None):
    """GET ``url`` through the component ``proxy``; return status, headers and body. ``ca``: the file of its CA."""
    handlers = [urllib.request.ProxyHandler({"http": proxy.url, "https": proxy.url})]
    if ca:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(url, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
