"""containerd and a Docker engine, each started for a test on folders of its own."""

import json
import os
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.acceptance.docker_registry import run
from tests.acceptance.running_mirror import clean_environment

READY_SECONDS = 30


@contextmanager
def containerd(folder):
    """Run containerd; give its socket's path."""
    folder.mkdir()
    sock = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{sock}"\n[ttrpc]\n  address = "{folder}/ttrpc.sock"\n'
    )
    with _program(["containerd", "--config", config], folder / "containerd.log", lambda: ctr(sock, "version")):
        yield sock


def ctr(sock, *arguments, check=True, **environment):
    return run(["ctr", "--address", sock, *arguments], check=check, **environment)


class Docker:
    """A Docker engine in ``folder``; its pulls have ``environment``, and ``mirror`` is its registry mirror."""

    def __init__(self, folder, environment=(), mirror=""):
        self._folder = folder
        self._environment = dict(environment)
        self._mirror = mirror
        self._socket = f"unix://{folder}/docker.sock"

    @contextmanager
    def running(self):
        folder = self._folder
        folder.mkdir()
        config = folder / "daemon.json"
        config.write_text(json.dumps({"registry-mirrors": [self._mirror]} if self._mirror else {}))
        command = ["dockerd", "--config-file", config, "--iptables=false", "--ip6tables=false", "--bridge=none"]
        command += ["--storage-driver", "vfs", "--data-root", folder / "data", "--exec-root", folder / "exec"]
        command += ["--pidfile", folder / "pid", "-H", self._socket]
        with _program(command, folder / "dockerd.log", lambda: self("version"), self._environment):
            yield self

    def __call__(self, *arguments, check=True):
        return run(["docker", "-H", self._socket, *arguments], check=check)


@contextmanager
def _program(command, log, ready, environment=()):
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=output, env=clean_environment(**dict(environment))
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while True:
            with suppress(AssertionError):
                ready()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)
        _unmount_below(log.parent)


def _unmount_below(folder):
    """Undo what an engine that did not end well has left mounted."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((each for each in points if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", point], check=False)


def is_root():
    return os.geteuid() == 0
