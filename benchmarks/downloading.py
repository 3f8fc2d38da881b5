"""Downloading: `cron-download-files` against curl, from one nginx over TLS, in wall time."""

import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fill_catalog import HOST
from benchmarks.fixtures import PIECES, PROGRAM, Site, uri_of
from benchmarks.machine import CLIENT_CORE, FailedToRunError, on_any_core, wall_of
from benchmarks.nginx import Nginx, nginx
from benchmarks.rows import ROUNDS, Group, Row, Target

_BLOCK_BYTES = 1 << 20
# More than this is not kept until the end.
MANY_BYTES = 100 << 20
METHOD = (
    "Wall time of the whole command, from its start to its end. The upstream is nginx over TLS 1.3 on one core; the "
    "downloader, and in turn curl, may use every core, and write to the same disk. Ours includes the start of Python "
    "and Django, the guard against private addresses, SHA-256, fsync of every file and folder, and the catalog with "
    "its audit trail; all settings are the defaults (8 downloads at a time from one host). curl does none of that: it "
    "leaves its files in the page cache, and for many files it is `curl --parallel` with a list, 50 at a time. Before "
    "each run the disk is synchronised, and memory for the page cache is taken and given back. Small files stay until "
    "the end: ext4 is slow to make files for minutes after many were removed, whoever makes them.\n\n"
    "*Less start-up* subtracts the median of an empty run, which a downloader that stays (`serve`, `--watch`) pays "
    "once; the targets are for that, since beside a second of downloading the start-up says more of Python than of "
    "the downloader. *curl, sha256sum "
    "and sync* is curl followed by these two, which is nearest to what the mirror does for a file. "
    "*The disk alone* is `dd conv=fsync` of the same bytes "
    "from memory: what no downloader that flushes can be faster than."
)


def downloading(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure an empty run, one large file, many small ones."""
    with nginx(site.work / "nginx", site.root, host=HOST, core=CLIENT_CORE) as upstream:
        start_up = _Download(site, upstream, [])
        large = _Download(site, upstream, [site.large])
        pieces = _Download(site, upstream, sorted(site.root.glob("piece-*")))
        empty = [start_up.ours() for _ in range(ROUNDS + 1)][1:]
        tell(first := Row("start-up: nothing is due", "s", tuple(empty)))
        spent = statistics.median(empty)
        rows = [first]
        for row in (*_large_rows(large, spent), *_piece_rows(pieces, spent)):
            rows.append(row)
            tell(row)
    return Group("Downloading", "curl", METHOD, tuple(rows))


def _large_rows(download: "_Download", start_up: float) -> Iterator[Row]:
    rounds = [
        (download.ours(), download.curl(), download.curl(safely=True), download.disk()) for _ in range(ROUNDS + 1)
    ][1:]
    ours, curl, safe, disk = zip(*rounds, strict=True)
    yield Row("one file of 1 GiB, speed", "s", ours, curl, is_speed=True)
    target = Target(0.7, at_least=True)
    yield Row("… less start-up, speed", "s", _less(ours, start_up), curl, target, is_speed=True)
    yield Row("… against curl, sha256sum, sync, speed", "s", ours, safe, is_speed=True)
    yield Row("… less start-up, against the disk alone, speed", "s", _less(ours, start_up), disk, is_speed=True)


def _piece_rows(download: "_Download", start_up: float) -> Iterator[Row]:
    rounds = [(download.ours(), download.curl()) for _ in range(ROUNDS + 1)][1:]
    ours, curl = zip(*rounds, strict=True)
    yield Row(f"{PIECES:,} files of 10 KiB", "s", ours, curl)
    yield Row("… less start-up", "s", _less(ours, start_up), curl, Target(4.0))


def _less(values: tuple[float, ...], start_up: float) -> tuple[float, ...]:
    return tuple(value - start_up for value in values)


class _Download:
    """The same files fetched by either; each method returns its wall time in seconds."""

    def __init__(self, site: Site, upstream: Nginx, paths: list[Path]) -> None:
        self._paths = paths
        self._bytes = sum(path.stat().st_size for path in paths)
        self._declared = site.declared([uri_of(path) for path in paths])
        self._work = site.work
        self._connect_to = f"{HOST}:443:127.0.0.1:{upstream.https}"
        self._certificate = str(upstream.certificate)

    def ours(self) -> float:
        with self._folder(self._declared) as data:
            command = [PROGRAM, "cron-download-files", "--data-dir", str(data), "--allow-network", "127.0.0.0/8"]
            command += ["--connect-to", self._connect_to, "--upstream-ca", self._certificate]
            output: list[str] = []
            seconds = wall_of(lambda: output.append(on_any_core(command)))
            self._check(json.loads(output[0])["fetched"], data / "blobs" / "sha256")
        return seconds

    def curl(self, *, safely: bool = False) -> float:
        with self._folder() as folder:
            configuration = self._work / "curl.config"
            configuration.write_text(
                "".join(f'url = "{uri_of(path)}"\noutput = "{folder / path.name}"\n' for path in self._paths)
            )
            command = ["curl", "--silent", "--show-error", "--fail", "--config", str(configuration)]
            command += ["--connect-to", self._connect_to, "--cacert", self._certificate]
            command += ["--parallel"] if len(self._paths) > 1 else []
            seconds = wall_of(lambda: on_any_core(command))
            self._check(len(self._paths), folder)
            if safely:
                files = [str(path) for path in folder.iterdir()]
                seconds += wall_of(lambda: (on_any_core(["sha256sum", *files]), on_any_core(["sync", *files])))
        return seconds

    def disk(self) -> float:
        """Write the first of the files from memory, and flush it."""
        with self._folder() as folder:
            command = ["dd", f"if={self._paths[0]}", f"of={folder / 'copy'}", "bs=1M", "conv=fsync", "status=none"]
            return wall_of(lambda: on_any_core(command))

    def _check(self, fetched: int, folder: Path) -> None:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if fetched != len(self._paths) or size != self._bytes:
            raise FailedToRunError(f"{fetched} files and {size} bytes came, not {len(self._paths)} and {self._bytes}")

    @contextmanager
    def _folder(self, template: Path | None = None) -> Iterator[Path]:
        """Give a folder, a copy of ``template`` if there is one, with nothing waiting to be written to disk."""
        folder = self._work / f"downloaded-{time.monotonic_ns()}"
        if template:
            shutil.copytree(template, folder)
        else:
            folder.mkdir()
        self._warm_memory()
        try:
            yield folder
        finally:
            if self._bytes > MANY_BYTES:
                shutil.rmtree(folder)

    def _warm_memory(self) -> None:
        """Write as much as will be written, and drop it: a virtual machine's host hands memory out when first used."""
        path, block = self._work / "warm", bytes(_BLOCK_BYTES)
        with path.open("wb", buffering=0) as file:
            for _ in range(self._bytes // _BLOCK_BYTES * 5 // 4):
                file.write(block)
        os.sync()
        path.unlink()
