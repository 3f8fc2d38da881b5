"""A Docker engine on a network of its own, which reaches nothing else: gone with all its containers at the end."""

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.running_mirror import clean_environment
from tests.requirements import is_root, skip

READY_SECONDS = 60
CLIENT_PROGRAM = "/usr/bin/docker"
PROGRAMS = {
    "dockerd": "docker.io",
    CLIENT_PROGRAM: "docker.io",
    "docker-compose": "docker-compose",
    "ip": "iproute2",
    "iptables": "iptables",
}
# Its mounts and processes are of namespaces of its own, and end with its first process.
APART = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
ENTER = """
set -eu
ip link set lo up
mount --bind "$1/hosts" /etc/hosts
shift
exec "$@"
"""
# What the pages call ``docker compose`` is a program of its own in Debian.
CLIENT = f"""#!/bin/sh
[ "$1" != compose ] || {{ shift; exec docker-compose "$@"; }}
exec {CLIENT_PROGRAM} "$@"
"""


class DockerMachine:
    """The engine in ``folder``, whose path is short, from enter to exit. ``names``: of the machine itself."""

    def __init__(self, folder, *names):
        self._folder = folder
        self._names = names
        self._log = folder / "dockerd.log"
        self._process = None

    def __enter__(self):
        if not is_root():
            skip("only root of the whole machine runs a Docker engine")
        for program, package in PROGRAMS.items():
            if shutil.which(program) is None:
                skip(f"{program} is not installed (Debian: {package})")
        programs = self._folder / "bin"
        programs.mkdir()
        (programs / "docker").write_text(CLIENT)
        (programs / "docker").chmod(0o755)
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(self._names)}\n")
        # Names that are not there are not asked about for long: nobody else could know them.
        settings = {"insecure-registries": list(self._names), "dns-opts": ["timeout:1", "attempts:1"]}
        (self._folder / "daemon.json").write_text(json.dumps(settings))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *APART, "bash", "-c", ENTER, "enter", str(self._folder), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        engine = self._first()
        if engine is not None:
            os.kill(engine, signal.SIGTERM)  # it ends its containers and takes their control groups away
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def environment(self, **more):
        """Return what its users have in the environment."""
        path = os.pathsep.join([str(self._folder / "bin"), os.environ["PATH"]])
        socket = f"unix://{self._folder}/docker.sock"
        # Without buildx the client builds by BuildKit only if it is told to.
        return clean_environment(
            PATH=path, DOCKER_HOST=socket, DOCKER_BUILDKIT="1", COMPOSE_DOCKER_CLI_BUILD="1", **more
        )

    def run(self, *command, check=True, timeout=300, **options):
        """Run a program with the network of that machine; return the finished process."""
        done = subprocess.run(
            self._inside(*command),
            **{"stdin": subprocess.DEVNULL, "env": self.environment(), **options},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-5000:]}{done.stderr[-5000:]}"
        return done

    @contextmanager
    def started(self, *command, log):
        """Run a program that stays, with the network of that machine."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._inside(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment()
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def typed(self, block, folder, **environment):
        """Paste lines into a terminal of its; return what they print."""
        shell = ["bash", "-euo", "pipefail", "-c", block]
        return self.run(*shell, cwd=folder, env=self.environment(**environment)).stdout

    def import_root(self, root, name):
        """Make an image of a folder."""
        packed = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        self.run("docker", "import", "-", name, stdin=packed.stdout)
        packed.stdout.close()
        assert packed.wait() == 0

    def _inside(self, *command):
        return ["nsenter", "--target", str(self._first()), "--net", *map(str, command)]

    def _command(self):
        folder = self._folder
        command = ["dockerd", "--config-file", folder / "daemon.json", "--data-root", folder / "data"]
        command += ["--exec-root", folder / "exec", "--pidfile", folder / "pid", "-H", f"unix://{folder}/docker.sock"]
        return list(map(str, command))

    def _first(self):
        """Return the number of the engine's process, or None."""
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = path.read_text().split() if path.exists() else []
        return int(children[0]) if children else None

    def _wait_until_up(self):
        until = time.monotonic() + READY_SECONDS
        while True:
            assert self._process.poll() is None, self._log.read_text()
            if self._first() is not None and self.run("docker", "version", check=False).returncode == 0:
                return
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.2)
