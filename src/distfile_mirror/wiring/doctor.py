"""Looks at every part of a configuration as its components will find it, and says what to do about what is wrong.

Nothing is changed but for a file that is made and removed again where components write.
"""

import http.client
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from django.db import DatabaseError

from distfile_mirror.authority import root
from distfile_mirror.catalog import care, database
from distfile_mirror.config import Config
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.addresses import ListenAddress
from distfile_mirror.upstream.connections import tls_context
from distfile_mirror.upstream.routes import environment_proxies
from distfile_mirror.wiring.authority import open_authority
from distfile_mirror.wiring.doctor_of_sign_in import sign_in
from distfile_mirror.wiring.doctor_of_tables import ASK_TABLES, administrators, downloads, stored_bytes
from distfile_mirror.wiring.findings import ANSWER_SECONDS, Found, Level
from distfile_mirror.wiring.machine import refuse_own_proxy
from distfile_mirror.wiring.sockets import can_listen
from distfile_mirror.wiring.storage import open_blob_store
from distfile_mirror.wiring.upstreams import registry_settings, upstream_settings

FEW_DESCRIPTORS = 4096
LITTLE_SPACE = 0.05
CA_ENDS_SOON = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a part, for people."""

    part: str
    level: Level
    text: str


def examine(config: Config) -> Iterator[Finding]:
    """Yield what is found, part by part. Django must be set up with all tables."""
    parts: list[tuple[str, Callable[[Config], Found]]] = [
        ("machine", _machine),
        ("data folder", _data_folder),
        ("CA", _authority),
        ("database", _database),
        ("blob store", _blob_store),
        ("proxy", partial(_port, "proxy_listen")),
        ("admin", partial(_port, "admin_listen")),
        ("metrics", _metrics),
        ("sign-in", sign_in),
        ("upstreams", _upstreams),
        ("administrators", administrators),
        ("downloads", downloads),
        ("stored bytes", stored_bytes),
    ]
    has_tables = True
    for name, look in parts:
        if not has_tables and look in ASK_TABLES:
            continue
        for finding in _findings(name, look, config):
            yield finding
            has_tables = has_tables and (name, finding.level) != ("database", Level.BROKEN)


def _findings(name: str, look: Callable[[Config], Found], config: Config) -> Iterator[Finding]:
    try:
        for level, text in look(config):
            yield Finding(name, level, text)
    except (MirrorError, DatabaseError) as error:
        yield Finding(name, Level.BROKEN, str(error).strip().partition("\n")[0])


def _machine(_config: Config) -> Found:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FEW_DESCRIPTORS:
        yield Level.WARNING, f"a process may open {hard} files only, and each connection is one: raise `ulimit -Hn`"
    else:
        yield Level.FINE, f"a process may open {hard} files"


def _data_folder(config: Config) -> Found:
    folder = config.data_dir.absolute()
    if not folder.exists():
        yield Level.WARNING, f"{folder} is not there yet; `serve` makes it"
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Level.BROKEN, f"{folder} cannot be written by user {os.getuid()}: {error.strerror}"
        return
    yield Level.FINE, f"{folder} can be written"
    yield _space_of(folder)


def _space_of(folder: Path) -> tuple[Level, str]:
    usage = shutil.disk_usage(folder)
    text = f"{usage.free >> 30} GiB of {usage.total >> 30} GiB are free in {folder}"
    if usage.free < LITTLE_SPACE * usage.total:
        return Level.WARNING, f"{text}: downloads stop when it is full; enlarge it"
    return Level.FINE, text


def _authority(config: Config) -> Found:
    folder = config.effective_ca_dir
    if (folder / root.CERTIFICATE_FILE).exists() and not (folder / root.KEY_FILE).exists():
        yield Level.WARNING, f"{folder} has the certificate alone: enough to offer it, as the admin does; a proxy signs"
        return
    if not root.has_authority(folder):
        yield Level.WARNING, f"there is none in {folder} yet; `serve` makes one, or run `distfile-mirror ca init`"
        return
    authority = open_authority(config)
    ends = authority.certificate.not_valid_after_utc
    left = ends - datetime.now(UTC)
    told = f"signs until {ends:%Y-%m-%d}, {len(authority.anchors)} offered to clients"
    if left < CA_ENDS_SOON:
        yield Level.WARNING, f"{told}: {left.days} days are left, run `distfile-mirror ca rotate` now"
    else:
        yield Level.FINE, told
    if (folder / root.KEY_FILE).stat().st_mode & stat.S_IRWXO:
        yield Level.BROKEN, f"others can read {folder / root.KEY_FILE}: run `chmod 600 {folder / root.KEY_FILE}`"


def _database(config: Config) -> Found:
    if not config.database_url and not (config.data_dir / "catalog.sqlite3").exists():
        yield Level.WARNING, "there is none yet; `serve` makes one, or run `distfile-mirror migrate`"
        return
    database.check_schema()
    database.check()
    name = config.effective_database_url.partition(":")[0]
    yield Level.FINE, f"{name} answers, its tables are of this release"
    if not care.is_ready():
        yield Level.WARNING, "it lacks what came last: run `distfile-mirror migrate`"


def _blob_store(config: Config) -> Found:
    if config.blobs_location.folder is not None and not config.data_dir.exists():
        yield Level.WARNING, "there is none yet; `serve` makes it"
        return
    store = open_blob_store(config)
    store.check()
    writer = store.create()
    try:
        writer.write(b"?")
    finally:
        writer.discard()
    yield Level.FINE, f"{config.blobs_location} answers"
    if config.blobs_location.folder is not None:
        yield _space_of(config.blobs_location.folder)


def _port(setting: str, config: Config) -> Found:
    address: ListenAddress = getattr(config, setting)
    if can_listen(address):
        yield Level.FINE, f"{address} is free to listen on"
        return
    status = _health(address)
    if status is None:
        yield Level.BROKEN, f"{address} cannot be listened on: another program has it, or no interface ({setting})"
    elif status == http.client.OK:
        yield Level.FINE, f"a mirror answers at {address}, and is healthy"
    else:
        yield Level.BROKEN, f"a mirror answers at {address} and is not healthy: see http://{address.for_clients}/health"


def _metrics(config: Config) -> Found:
    if config.metrics_listen is not None:
        yield from _port("metrics_listen", config)


def _health(address: ListenAddress) -> int | None:
    connection = http.client.HTTPConnection(address.for_clients.host, address.port, timeout=ANSWER_SECONDS)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        finally:
            connection.close()
    return None


def _upstreams(config: Config) -> Found:
    refuse_own_proxy(config)
    tls_context(upstream_settings(config))
    registry_settings(config)
    proxies = {scheme: url for scheme, url in environment_proxies().items() if scheme != "no"}
    yield Level.FINE, f"asked through {' and '.join(sorted(set(proxies.values())))}" if proxies else "asked directly"
