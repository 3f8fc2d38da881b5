"""Which database the tests of the catalog run on: SQLite, or what DISTFILE_MIRROR_TEST_DATABASE names.

`make test` runs them on SQLite, on PostgreSQL, and on CockroachDB where its program is found. The server is the
tests' own, and ends with the process that started it.
"""

import atexit
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgresql_server import PostgresqlServer

VARIABLE = "DISTFILE_MIRROR_TEST_DATABASE"
KIND = os.environ.get(VARIABLE) or "sqlite"


def start_database(folder: Path) -> str:
    """Return the URL of an empty database of the kind asked for."""
    if KIND == "postgresql":
        server = PostgresqlServer()
        atexit.register(server.__exit__, None, None, None)
        server.create()
        server.start()
        return server.create_database("mirror")
    if KIND == "cockroachdb":
        return _start_cockroach(folder)
    assert KIND == "sqlite", f"{VARIABLE} is {KIND}: write sqlite, postgresql or cockroachdb"
    return f"sqlite:///{folder}/catalog.sqlite3"


def _start_cockroach(folder: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = ["cockroach", "start-single-node", "--insecure", "--store=type=mem,size=1GiB", "--http-addr=127.0.0.1:0"]
    with (folder / "cockroach.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--listen-addr=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=tempfile.mkdtemp()
        )
    atexit.register(process.kill)
    sql = ["cockroach", "sql", "--insecure", f"--host=127.0.0.1:{port}", "-e", "CREATE DATABASE mirror"]
    for _ in range(100):
        if subprocess.run(sql, capture_output=True, check=False).returncode == 0:
            return f"cockroachdb://root@127.0.0.1:{port}/mirror?sslmode=disable"
        time.sleep(0.3)
    raise AssertionError(Path(folder, "cockroach.log").read_text())


def current_url() -> str:
    """Return the URL of the database that the running test has, for other processes."""
    from django.db import connection

    settings = connection.settings_dict
    if KIND == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    host = str(settings["HOST"]).replace("/", "%2F")
    query = "?sslmode=disable" if KIND == "cockroachdb" else ""
    return f"{KIND}://{settings['USER']}@{host}:{settings['PORT']}/{settings['NAME']}{query}"
