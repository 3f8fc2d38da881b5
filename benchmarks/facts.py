"""What it was measured on, and with which programs."""

import os
import platform
import re
import shutil
import ssl
import subprocess
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from tests.ceph_gateway import PACKAGES as CEPH_PACKAGES
from tests.ceph_gateway import PROGRAMS as CEPH_PROGRAMS
from tests.postgresql_server import PACKAGE as POSTGRESQL_PACKAGE
from tests.postgresql_server import find_binaries

# program -> Debian's package
PROGRAMS = {"nginx": "nginx", "hey": "hey", "curl": "curl", "taskset": "util-linux"}
# group -> the same, of what that group alone needs
MORE_PROGRAMS = {"object-storage": dict.fromkeys(CEPH_PROGRAMS, CEPH_PACKAGES)}
DISK_BYTES = 10 << 30


def what_is_missing(folder: Path, groups: Collection[str]) -> list[str]:
    """Return what keeps ``groups`` of the benchmarks from running, a line each."""
    programs = dict(PROGRAMS)
    for group in groups:
        programs |= MORE_PROGRAMS.get(group, {})
    missing = [
        f"{program} is not installed; on Debian: apt install {package}"
        for program, package in programs.items()
        if not shutil.which(program, path=_search_path())
    ]
    if "claims" in groups and not find_binaries():
        missing.append(f"PostgreSQL's server is not installed; on Debian: apt install {POSTGRESQL_PACKAGE}")
    if len(os.sched_getaffinity(0) & {0, 1}) < 2:
        missing.append("two processor cores, 0 and 1, are needed: one for servers, one for clients")
    if shutil.disk_usage(folder).free < DISK_BYTES:
        missing.append(f"{folder} needs {DISK_BYTES >> 30} GiB of free disk space")
    return missing


def use_search_path() -> None:
    """Let programs be found that Debian keeps where only root looks."""
    os.environ["PATH"] = _search_path()


def facts() -> dict[str, str]:
    """Return name -> what is so on this machine."""
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "OpenSSL": ssl.OPENSSL_VERSION,
        "nginx": _first_match(r"nginx/(\S+)", ["nginx", "-v"]),
        "hey": _first_match(r"(.+)", ["dpkg-query", "--show", "--showformat", "${Version}", "hey"]),
        "curl": _first_match(r"curl (\S+)", ["curl", "--version"]),
        "PostgreSQL": _first_match(r"([\d.]+)", [str((find_binaries() or Path()) / "postgres"), "--version"]),
        "Ceph": _first_match(r"version (\S+)", ["radosgw", "--version"]),
    }


def _search_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _first_match(pattern: str, command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"
