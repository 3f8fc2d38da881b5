"""README and docs as a person follows them: the ``sh`` blocks of a page, pasted one after the other into a terminal."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.acceptance.running_mirror import DIRECT, clean_environment
from tests.ports import free_ports

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What does not end by itself, and so goes into a terminal of its own: which port it answers on.
STAYING = {
    "make serve": ("proxy", "admin"),
    "distfile-mirror serve": ("proxy", "admin"),
    "distfile-mirror web-proxy": ("proxy",),
    "distfile-mirror web-admin": ("admin",),
    "distfile-mirror cron-download-files --watch": (),
}
READY_SECONDS = 60


def blocks(page):
    """Return the ``sh`` blocks of ``page``, a path below the repository."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


class Terminals:
    """A shell in ``folder`` whose environment lasts from block to block, and the servers started beside it.

    The ports that pages name may be in use here: they are replaced by free ones wherever they
    stand. ``upstream``: host -> port on loopback where downloads are led; ``server_environment`` is
    what only servers get.
    """

    def __init__(self, folder, *, upstream, upstream_ca, path=(), server_environment=()):
        self.folder = folder
        self.ports = dict(zip(("proxy", "admin"), free_ports(2), strict=True))
        self._servers = []
        self._environment = clean_environment(
            PATH=os.pathsep.join([*map(str, path), os.environ["PATH"]]),
            DISTFILE_MIRROR_SERVER=f"http://127.0.0.1:{self.ports['admin']}",
        )
        self._for_servers = {
            **dict(server_environment),
            "DISTFILE_MIRROR_PROXY_LISTEN": f"127.0.0.1:{self.ports['proxy']}",
            "DISTFILE_MIRROR_ADMIN_LISTEN": f"127.0.0.1:{self.ports['admin']}",
            "DISTFILE_MIRROR_ALLOW_NETWORK": "127.0.0.0/8",
            "DISTFILE_MIRROR_UPSTREAM_CA": str(upstream_ca),
            "DISTFILE_MIRROR_CONNECT_TO": " ".join(f"{host}::127.0.0.1:{port}" for host, port in upstream.items()),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Type Ctrl-C where servers run, and wait for their ends."""
        for process in self._servers:
            # As Ctrl-C in its terminal does: make and what it runs get it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for process in self._servers:
            process.wait(30)
        self._servers.clear()

    def run(self, block):
        """Run one block; return what it printed."""
        command = block.strip()
        if command in STAYING:
            self._stay(command)
            return ""
        for port, usual in (("proxy", 3128), ("admin", 8080)):
            block = block.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{self.ports[port]}")
        environment = self.folder / ".environment"
        # The single download for cron is a server's work, too.
        more = self._for_servers if "cron-download-files" in block else {}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'{block}\nenv -0 > "$OLD_ENVIRONMENT"'],
            cwd=self.folder,
            env={**self._environment, **more, "OLD_ENVIRONMENT": str(environment)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{self.log()}"
        items = dict(item.partition("=")[::2] for item in environment.read_text().split("\0") if item)
        self._environment = {name: value for name, value in items.items() if name not in self._for_servers}
        return done.stdout

    def log(self):
        """Return what the servers said."""
        path = self.folder / "servers.log"
        return path.read_text() if path.exists() else ""

    def _stay(self, command):
        # An installed program's name is its path; make is looked for as ever.
        with (self.folder / "servers.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                shell=True,
                cwd=self.folder,
                env={**self._environment, **self._for_servers},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers.append(process)
        until = time.monotonic() + READY_SECONDS
        for port in STAYING[command]:
            while not self._is_up(port):
                assert process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                time.sleep(0.05)

    def _is_up(self, port):
        with suppress(OSError, urllib.request.HTTPError):
            DIRECT.open(f"http://127.0.0.1:{self.ports[port]}/health", timeout=5).close()
            return True
        return False
