"""What stands in for images that a registry would give: roots made of this machine's programs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.acceptance.container_image import copy_libraries, make_base
from tests.acceptance.pages import ROOT
from tests.postgresql_server import PACKAGE, find_binaries
from tests.requirements import skip

# As the official image does: the cluster, its user and its database are made by the names in the environment.
START_POSTGRESQL = """#!/bin/sh
set -eu
mkdir -p "$PGDATA"
chown postgres:postgres "$PGDATA"
chmod 700 "$PGDATA"
as="/usr/bin/setpriv --reuid=postgres --regid=postgres --clear-groups"
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    chmod 644 /tmp/password
    $as initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --locale=C --encoding=UTF8
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | $as postgres --single postgres
fi
exec $as postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
POSTGRESQL = """FROM root
ENV PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/bin:/bin
ENTRYPOINT ["/start"]
"""


def python_root(folder):
    """Lay out Python with a shell, and the packages that the product and its build need: pip asks nobody else."""
    make_base(folder)
    wheels = folder / "wheels"
    wheels.mkdir()
    for name in ("runtime", "build"):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--requirement", ROOT / "requirements" / f"{name}.txt", "--dest", wheels]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode and "Retrying" in done.stderr:
            skip("the package index cannot be reached")
        assert done.returncode == 0, done.stderr
    (folder / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return folder


def postgresql_root(folder):
    """Lay out this machine's PostgreSQL. Its image is made of it by the Dockerfile POSTGRESQL."""
    binaries = find_binaries() or skip(f"the package {PACKAGE} is not installed")
    version = binaries.parent.name
    for name in ("bin", "etc", "tmp", "usr/bin", "usr/lib/postgresql", "usr/share/postgresql", "var/run/postgresql"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("busybox") or skip("busybox is not installed (Debian: busybox-static)"), folder / "bin")
    for name in ("sh", "mkdir", "chown", "chmod", "cat", "printf"):
        (folder / "bin" / name).symlink_to("busybox")
    for name in ("tmp", "var/run/postgresql"):
        (folder / name).chmod(0o1777)
    (folder / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n")
    (folder / "etc" / "group").write_text("root:x:0:\npostgres:x:999:\n")
    # It finds what it shares by the way from its programs to there.
    shutil.copytree(binaries.parent, folder / "usr" / "lib" / "postgresql" / version, symlinks=True)
    shutil.copytree(
        Path("/usr/share/postgresql") / version, folder / "usr" / "share" / "postgresql" / version, symlinks=False
    )
    shutil.copytree("/usr/share/zoneinfo", folder / "usr" / "share" / "zoneinfo", symlinks=False)
    os.symlink(f"{version}/bin", folder / "usr" / "lib" / "postgresql" / "bin")
    setpriv = shutil.copy(shutil.which("setpriv"), folder / "usr" / "bin")
    copy_libraries(folder, [setpriv, *binaries.iterdir(), *(binaries.parent / "lib").glob("*.so")])
    (folder / "start").write_text(START_POSTGRESQL)
    (folder / "start").chmod(0o755)
    return folder
