"""Several machines on one: network namespaces, each on a cable of its own to a bridge, and gone at the end."""

import os
import shutil
import subprocess
from contextlib import suppress

from tests.requirements import is_root, skip

PACKAGE = "iproute2"


class Network:
    """The network, from enter to exit; this machine is on it as ``here``. Skips where it cannot be made.

    Its addresses are of the range that is set apart for tests between devices (RFC 2544).
    """

    def __init__(self):
        if shutil.which("ip") is None:
            skip(f"ip is missing: apt-get install {PACKAGE}")
        if not is_root():
            skip("only root of the whole machine makes network namespaces")
        self._mark = f"dm{os.getpid() % 100_000:05}"
        self._base = f"198.18.{os.getpid() % 256}"
        self._bridge = f"{self._mark}br"
        self._machines = {}
        self.addresses = f"{self._base}.0/24"
        self.here = self.address(1)

    def __enter__(self):
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("address", "add", f"{self.here}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self._machines:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self._namespace(name))
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._bridge)

    def address(self, number):
        """Return the address of the machine ``number``."""
        return f"{self._base}.{number}"

    def add(self, name, number):
        """Make a machine; return the command that runs another one on it."""
        namespace, cable = self._namespace(name), f"{self._mark}v{number}"
        _ip("netns", "add", namespace)
        self._machines[name] = cable
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", self._bridge, "up")
        _ip("-n", namespace, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")
        return ["ip", "netns", "exec", namespace]

    def unplug(self, name):
        """Pull the cable of a machine: what it sends and what is sent to it goes nowhere."""
        _ip("link", "set", self._machines[name], "down")

    def plug(self, name):
        """Put the cable back."""
        _ip("link", "set", self._machines[name], "up")

    def _namespace(self, name):
        return f"{self._mark}-{name}"


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
