"""What is measured with: a folder of files for nginx, and data folders that hold the same files for the mirror."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fill_catalog import HOST
from benchmarks.machine import SERVER_CORE, free_port, on_core, running

SMALL_BYTES = 1 << 10
LARGE_BYTES = 1 << 30
PIECES = 2_000
PIECE_BYTES = 10 << 10
FEW_FILES = 1_000
MANY_FILES = 1_000_000
PROGRAM = str(Path(sys.executable).with_name("distfile-mirror"))
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Site:
    """``root``: small, large and the pieces, as nginx serves them. ``work``: the folder for all else."""

    work: Path
    root: Path

    @property
    def small(self) -> Path:
        """The file of 1 KiB."""
        return self.root / "small"

    @property
    def large(self) -> Path:
        """The file of 1 GiB."""
        return self.root / "large"

    @property
    def layer_uri(self) -> str:
        """Where a registry has the file of 1 GiB as a layer."""
        with self.large.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"https://{HOST}/v2/{self.large.name}/blobs/sha256:{digest}"

    def data(self, files: int) -> Path:
        """Return a data folder with small, large and ``files`` invented files; made when first asked for."""
        data = self.work / f"data-{files}"
        if not data.exists():
            _module("benchmarks.fill_catalog", str(data), "present", str(self.small), str(self.large))
            _module("benchmarks.million", str(data), "--files", str(files))
            _share_pages(data / "blobs", [self.small, self.large])
            on_core(SERVER_CORE, [PROGRAM, "ca", "init", "--data-dir", str(data)])
            on_core(SERVER_CORE, [PROGRAM, "migrate", "--data-dir", str(data)])
            os.sync()
        return data

    def declared(self, uris: list[str]) -> Path:
        """Return a data folder where ``uris`` wait for a downloader; made when first asked for."""
        data = self.work / f"declared-{len(uris)}"
        if not data.exists():
            _module("benchmarks.fill_catalog", str(data), "declared", given="\n".join(uris))
        return data


def make_site(work: Path) -> Site:
    """Write the files. Random bytes: nothing may profit from compressing them."""
    root = work / "www"
    root.mkdir()
    site = Site(work, root)
    site.small.write_bytes(os.urandom(SMALL_BYTES))
    block = os.urandom(_BLOCK_BYTES)
    with site.large.open("wb") as file:
        for number in range(LARGE_BYTES // _BLOCK_BYTES):
            file.write(number.to_bytes(8) + block[8:])
    for number in range(PIECES):
        (root / f"piece-{number:04}").write_bytes(os.urandom(PIECE_BYTES))
    return site


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, and remove it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A running web proxy with one worker: its process (the supervisor's) and port."""

    pid: int
    port: int


@contextmanager
def mirror(data: Path, config: Path | None = None) -> Iterator[Mirror]:
    """Run the web proxy on ``data``, on the servers' core, until the block ends; ``config`` says what is not there."""
    port = free_port()
    command = [PROGRAM, "web-proxy", "--workers", "1", "--data-dir", str(data), "--proxy-listen", f"127.0.0.1:{port}"]
    command += ["--config", str(config)] if config else []
    with running(command, core=SERVER_CORE, port=port, log=data / "web-proxy.log") as pid:
        yield Mirror(pid, port)


def uri_of(path: Path, scheme: str = "https") -> str:
    """Return the URI under which a file of the site is known."""
    return f"{scheme}://{HOST}/{path.name}"


def _share_pages(blobs: Path, paths: list[Path]) -> None:
    """Make the blobs that hold ``paths`` the same inodes, so that both servers read the very same memory."""
    for path in paths:
        with path.open("rb") as file:
            blob = next(blobs.rglob(hashlib.file_digest(file, "sha256").hexdigest()))
        blob.unlink()
        blob.hardlink_to(path)


def _module(name: str, *arguments: str, given: str = "") -> None:
    on_core(SERVER_CORE, [sys.executable, "-m", name, *arguments], given=given)
