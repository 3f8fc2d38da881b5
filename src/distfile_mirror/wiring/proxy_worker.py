"""One worker of the web proxy."""

import asyncio
import gc
import signal
import socket
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from distfile_mirror.authority import root
from distfile_mirror.authority.leaves import LeafIssuer
from distfile_mirror.authority.root import AuthorityError
from distfile_mirror.catalog import database
from distfile_mirror.catalog.database_urls import identity_of
from distfile_mirror.catalog.look_up import revision
from distfile_mirror.catalog.sightings import write_sightings
from distfile_mirror.config import Config
from distfile_mirror.proxy.counters import CounterCollector, open_counters
from distfile_mirror.proxy.find import find
from distfile_mirror.proxy.lookups import Lookups
from distfile_mirror.proxy.own import OwnAnswers, TrustAnchors
from distfile_mirror.proxy.routes import Channel
from distfile_mirror.proxy.served_before import ServedBefore
from distfile_mirror.proxy.server import Limits, Worker
from distfile_mirror.proxy.sightings import SightingsGatherer
from distfile_mirror.proxy.tls import Certificates
from distfile_mirror.supervisor import tell_ready
from distfile_mirror.wiring.authority import open_authority
from distfile_mirror.wiring.sockets import listen
from distfile_mirror.wiring.storage import ProxiedBlobs, proxied_blobs

QUESTION_THREADS = 4
READING_THREADS = 4
# Between looks whether the CA was replaced.
AUTHORITY_SECONDS = 3.0

log = structlog.get_logger()


def run(config: Config, number: int) -> None:
    """Serve until SIGTERM or SIGINT. Django must be configured. Raises MirrorError, OSError."""
    # What is imported stays for ever: the collector need not look at it again and again.
    gc.freeze()
    asyncio.run(_run(config, number))


async def _run(config: Config, number: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    with (
        proxied_blobs(config) as blobs,
        # Whoever waits for the database, and who reads from a disk, do not wait for each other.
        ThreadPoolExecutor(READING_THREADS, "reading") as reading,
        ThreadPoolExecutor(QUESTION_THREADS, "questions") as questions,
        # Apart, so that a flood of new host names delays nobody's look-up.
        ThreadPoolExecutor(1, "certificates") as certificates,
        closing(_served_before(config, reading)) as before,
    ):
        worker = _worker(config, number, blobs, before, Threads(questions, reading, certificates))
        watching = loop.create_task(_follow_authority(config, worker))
        listener = listen(config.proxy_listen, reuse_port=True)
        tell_ready()
        await worker.run(listener, stop, grace=config.stop_grace)
        watching.cancel()


async def _follow_authority(config: Config, worker: Worker) -> None:
    """Take a CA that was put in the place of the one that signs, without a restart."""
    known = await asyncio.to_thread(root.state_of, config.effective_ca_dir)
    while True:
        await asyncio.sleep(AUTHORITY_SECONDS)
        found = await asyncio.to_thread(root.state_of, config.effective_ca_dir)
        if found == known:
            continue
        try:
            authority = await asyncio.to_thread(open_authority, config)
        except AuthorityError as error:  # perhaps half of it is written
            log.warning("the CA in its folder cannot be used; the one before signs on", reason=str(error))
            continue
        known = found
        worker.tls.use(LeafIssuer(authority, capacity=config.proxy_cached_certificates))
        worker.own.use(_anchors(authority))
        log.info("the CA was read anew", fingerprint=root.fingerprint(authority), offered=len(authority.anchors))


class Threads(NamedTuple):
    """The pools of a worker."""

    questions: Executor
    reading: Executor
    certificates: Executor


def _served_before(config: Config, executor: Executor) -> ServedBefore:
    return ServedBefore(
        config.run_dir / "served.sqlite3",
        identity=identity_of(config.effective_database_url),
        max_rows=config.proxy_noted_lookups,
        executor=executor,
    )


def _worker(config: Config, number: int, blobs: ProxiedBlobs, before: ServedBefore, threads: Threads) -> Worker:
    loop = asyncio.get_running_loop()
    authority = open_authority(config)
    return Worker(
        loop=loop,
        limits=_limits(config),
        lookups=Lookups(
            find=find,
            blobs=blobs.reader,
            before=before,
            questions=threads.questions,
            executor=threads.reading,
            call_soon=loop.call_soon_threadsafe,
            max_entries=config.proxy_cached_lookups,
            max_bytes=config.proxy_cached_bytes,
        ),
        tls=Certificates(
            LeafIssuer(authority, capacity=config.proxy_cached_certificates),
            own_name=config.proxy_listen.for_clients.host,
            executor=threads.certificates,
            call_soon=loop.call_soon_threadsafe,
        ),
        own=OwnAnswers(
            anchors=_anchors(authority),
            admin_url=config.effective_admin_url,
            proxy_url=config.effective_proxy_url,
            checks={"database": database.check, "blob store": blobs.reader.check},
            registry=_registry(config),
            executor=threads.questions,
            call_soon=loop.call_soon_threadsafe,
        ),
        counters=open_counters(config.run_dir / "proxy", number),
        questions=threads.questions,
        executor=threads.reading,
        revision=revision,
        sightings=SightingsGatherer(write=write_sightings, executor=threads.questions),
        admin_url=config.effective_admin_url,
        counted_elsewhere=blobs.counts,
        direct_channel=_direct_channel(config),
    )


def _direct_channel(config: Config) -> Channel:
    """Return how requests come that go through no tunnel, and under which names they are meant for the proxy itself."""
    own_hosts = {f"{name}:{config.proxy_listen.port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    own_hosts.add(config.effective_proxy_url.partition("://")[2].lower())
    own_hosts |= {str(config.proxy_listen), socket.gethostname().lower()}
    return Channel(
        own_hosts=frozenset(name.encode() for name in own_hosts),
        own_port=config.proxy_listen.port,
        password=config.proxy_password.get_secret_value() if config.proxy_password else "",
    )


def _limits(config: Config) -> Limits:
    return Limits(
        head_bytes=config.proxy_header_bytes,
        head_timeout=config.proxy_header_timeout,
        handshake_timeout=config.proxy_handshake_timeout,
        idle_timeout=config.proxy_idle_timeout,
        stalled_writer_timeout=config.proxy_stalled_writer_timeout,
        max_connections=config.proxy_max_connections,
        max_connections_per_client=config.proxy_max_connections_per_client,
    )


def _anchors(authority: root.Authority) -> TrustAnchors:
    return TrustAnchors(
        pem=root.certificate_pem(authority),
        der=root.certificate_der(authority),
        java=root.java_trust_store(authority.anchors),
        fingerprint=root.fingerprint(authority),
        not_after=authority.certificate.not_valid_after_utc.timestamp(),
    )


def _registry(config: Config) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(CounterCollector(config.run_dir / "proxy"))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
