"""A real PostgreSQL of the tests' own: a fresh cluster in a temporary folder."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

PACKAGE = "postgresql"
NO_CONNECTION = 2  # psql's exit status


def find_binaries() -> Path | None:
    """Return the folder of the newest server that Debian's packages installed, or None."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


class PostgresqlServer:
    """Listens on ``listen``:``port`` and in ``folder``; who comes from the networks ``trust`` needs no password.

    ``prefix``: a command that runs it elsewhere, such as in a network namespace.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        listen: str = "127.0.0.1",
        trust: Sequence[str] = ("127.0.0.1/32",),
        prefix: Sequence[str] = (),
    ) -> None:
        binaries = find_binaries()
        assert binaries, f"no server was found: install the package {PACKAGE}"
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.listen = listen
        self._trust = trust
        self._prefix = prefix
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as sock:
                port = sock.getsockname()[1]
        self.port = port
        # The server refuses to run as root.
        self._as_user: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def __enter__(self) -> Self:
        self.create()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> None:
        """Make the cluster."""
        self._run("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        rules = ["local all all trust", *(f"host all all {network} trust" for network in self._trust)]
        self._write("data/pg_hba.conf", "\n".join([*rules, ""]))
        settings: dict[str, object] = {
            "listen_addresses": f"'{self.listen}'",
            "port": self.port,
            "unix_socket_directories": f"'{self.folder}'",
            "fsync": "off",
            "max_connections": 300,
            "synchronous_commit": "on",
        }
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._run("pg_ctl", "start", "-w", "-s", "-D", self.folder / "data", "-l", self.folder / "log")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate``: as a crash would."""
        self._run("pg_ctl", "stop", "-w", "-s", "-D", self.folder / "data", "-m", mode, check=False)

    def url(self, database: str = "postgres", user: str = "postgres", host: str | None = None) -> str:
        """Return the URL of ``database``, by the socket unless ``host`` is given."""
        where = f"{quote(str(self.folder), safe='')}:{self.port}" if host is None else f"{host}:{self.port}"
        return f"postgresql://{user}@{where}/{database}"

    def create_database(self, name: str) -> str:
        """Create a database and return its URL."""
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; return what psql prints."""
        where = ["-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database]
        how = ["-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        until = time.monotonic() + 10
        done = self._run("psql", *where, *how, check=False)
        while done.returncode == NO_CONNECTION and time.monotonic() < until:
            time.sleep(0.1)
            done = self._run("psql", *where, *how, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _run(self, program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*self._prefix, *self._as_user, self._binaries / program, *arguments]
        # What pg_ctl starts would hold a pipe open.
        output = subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            check=False,
            cwd=self.folder,
            timeout=60,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done
