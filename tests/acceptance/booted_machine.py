"""systemd itself, as process 1 of a machine in namespaces: units run there as they do on a real one."""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.requirements import is_root, skip

SCRIPT = Path(__file__).parent / "boot_machine.sh"
UP_SECONDS = 30


class BootedMachine:
    """What ``prepare``, a shell script, makes of this machine's files ($1 is their root), with systemd running on it.

    It shares this machine's network, and nothing else; all that it writes is gone with it.
    """

    def __init__(self, folder, prepare):
        self._work = folder / "machine"
        self._work.mkdir()
        self._prepare = folder / "prepare.sh"
        self._prepare.write_text(f"#!/bin/bash\nset -euo pipefail\nroot=$1\n{prepare}")
        self._prepare.chmod(0o755)
        self._log = folder / "boot.log"
        self._group = None
        self._process = None
        self._first = 0

    def __enter__(self):
        if not is_root():
            skip("systemd is booted by root only")
        if not Path("/lib/systemd/systemd").exists():
            skip("systemd is not installed (Debian: systemd)")
        self._group = Path(_mount_of_cgroup2()) / f"distfile-mirror-test-{os.getpid()}"
        try:
            self._group.mkdir()
        except OSError as error:
            skip(f"no control group can be made here: {error}")
        flags = ["--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child"]
        enter = ["bash", "-c", 'echo $$ > "$0"/cgroup.procs; exec unshare "$@"', self._group]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*enter, *flags, SCRIPT, self._work, self._prepare],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()  # its child, the machine's process 1, dies with it, and all others with that one
        self._process.wait()
        for group in [*sorted(self._group.rglob("*/"), key=lambda path: -len(path.parts)), self._group]:
            _remove(group)

    def run(self, *command, check=True, timeout=60, **options):
        """Run a program on that machine, as root; return the finished process."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._first), "--pid", "--mount", "--uts", "--ipc", "--cgroup", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def show(self, unit, *names):
        """Return properties of a unit, as systemd tells them."""
        told = self.run("systemctl", "show", unit, "--property", ",".join(names)).stdout
        return dict(line.partition("=")[::2] for line in told.splitlines())

    def read(self, path):
        """Return the text of a file of that machine."""
        return self.run("cat", str(path)).stdout

    def _wait_until_up(self):
        until = time.monotonic() + UP_SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None, f"nothing booted: {self._log.read_text()}"
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if children and os.readlink(f"/proc/{children[0]}/exe").endswith("/systemd"):
                self._first = int(children[0])
                if self.run("systemctl", "is-active", "default.target", check=False).stdout == "active\n":
                    return
            time.sleep(0.1)
        raise AssertionError(f"systemd is not up: {self._log.read_text()}")


def _mount_of_cgroup2():
    found = subprocess.run(
        ["findmnt", "--noheadings", "--types", "cgroup2", "--output", "TARGET", "--first-only"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return found or skip("there is no cgroup2 here")


def _remove(group):
    until = time.monotonic() + 10
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            with suppress(OSError):
                (group / "cgroup.kill").write_text("1")
            time.sleep(0.05)
        else:
            return
