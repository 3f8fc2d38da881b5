"""What it was measured on, and with which programs."""

import os
import platform
import re
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

# program -> Debian's package
PROGRAMS = {"nginx": "nginx", "hey": "hey", "curl": "curl", "taskset": "util-linux"}
DISK_BYTES = 10 << 30


def what_is_missing(folder: Path) -> list[str]:
    """Return what keeps the benchmarks from running, a line each."""
    missing = [
        f"{program} is not installed; on Debian: apt install {package}"
        for program, package in PROGRAMS.items()
        if not shutil.which(program, path=_search_path())
    ]
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
