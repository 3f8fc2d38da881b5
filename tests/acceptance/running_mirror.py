"""The product as a user runs it: `distfile-mirror serve` and its commands, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.ports import free_port

PROGRAM = Path(sys.executable).parent / "distfile-mirror"
READY_SECONDS = 30
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What a machine may preset, and a test must not inherit.
PRESET = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "PIP_FIND_LINKS",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
    "PYTHONDONTWRITEBYTECODE",
)


def clean_environment(**more):
    """Return this process's environment without proxies, CA settings and the product's own settings."""
    unwanted = ("proxy", "distfile_mirror_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in PRESET and not any(part in name.lower() for part in unwanted)
    }
    return {**kept, **more}


class RunningMirror:
    """`serve` on a folder. ``upstream``: host -> port on loopback to which downloads are led instead.

    ``program``: another installation's `distfile-mirror`; ``cwd``: where it is started.
    """

    def __init__(self, folder, *, upstream_ca=None, upstream=(), flags=(), environment=(), program=PROGRAM, cwd=None):
        self.folder = folder
        self.data = folder / "data"
        self.proxy_port = free_port()
        self.admin_port = free_port()
        self.proxy = f"http://127.0.0.1:{self.proxy_port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.ca = self.data / "ca" / "ca.pem"
        self.log = folder / "serve.log"
        self._environment = clean_environment(**dict(environment))
        self._flags = ["--allow-network", "127.0.0.0/8", *flags]
        if upstream_ca:
            self._flags += ["--upstream-ca", str(upstream_ca)]
        for host, port in dict(upstream).items():
            self._flags += ["--connect-to", f"{host}::127.0.0.1:{port}"]
        self._program = program
        self._cwd = cwd
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, *, wait=True):
        command = [self._program, "serve", "--data-dir", self.data, "--proxy-listen", f"127.0.0.1:{self.proxy_port}"]
        command += ["--admin-listen", f"127.0.0.1:{self.admin_port}", *self._flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment, cwd=self._cwd)
        if wait:
            try:
                self.wait_until_up()
            except AssertionError:
                self.kill()  # nobody else will
                raise

    def wait_until_up(self):
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended: {self.log.read_text()}")
            with suppress(OSError, urllib.error.URLError):
                for url in (self.proxy, self.admin):
                    DIRECT.open(f"{url}/health", timeout=5).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"serve is not up: {self.log.read_text()}")

    def stop(self, number=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)
        return self.process.returncode

    def kill(self):
        """End it as a power cut would: nobody gets to clean anything up."""
        self.process.kill()
        self.process.wait(30)

    def run(self, *arguments, check=True, **options):
        """Run a client command; return the finished process."""
        done = subprocess.run(
            [self._program, *map(str, arguments), "--server", self.admin],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=120,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def add(self, *uris, wait=True, **options):
        """Declare files for a project of tests and wait until they are here."""
        flags = ["--wait", "--timeout", "60"] if wait else []
        return self.run("add", *uris, "--project", "tests", "--reason", "to see it work", *flags, **options)

    def api(self, path):
        with DIRECT.open(f"{self.admin}/api/v1{path}", timeout=30) as answer:
            return json.load(answer)

    def descendants(self):
        """Return the process ids of the children of serve, but for the one that says what is where, and ends."""
        return [pid for pid in children_of(self.process.pid) if command_line(pid) != "distfile-mirror started"]


def children_of(pid):
    """Return the process ids of the children of a process, by its first thread. Raises OSError if it is gone."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid):
    """Return what `ps` shows of a process; an empty string of one that is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    return ""
