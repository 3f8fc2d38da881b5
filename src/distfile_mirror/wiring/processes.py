"""What each command runs: one process, or a supervisor over several.

Ports are settled here, once: an address in use is told before anything starts, and port 0 becomes a number that
all children share. A supervisor never sets Django up: each of its forks does, after the configuration it was given.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from distfile_mirror import supervisor
from distfile_mirror.catalog import database
from distfile_mirror.catalog.database import SchemaOutdatedError
from distfile_mirror.config import Config, ConfigurationError
from distfile_mirror.errors import UnavailableError
from distfile_mirror.forks import begin_apart
from distfile_mirror.proxy.counters import remove_counters
from distfile_mirror.supervisor import Child
from distfile_mirror.wiring.early_hangups import is_on_terminal
from distfile_mirror.wiring.hangups import Reread
from distfile_mirror.wiring.imports import import_for_all, import_for_proxies
from distfile_mirror.wiring.logs import configure_logging
from distfile_mirror.wiring.machine import refuse_one_address, refuse_own_proxy, take_descriptors
from distfile_mirror.wiring.sockets import address_of, listening, reserved
from distfile_mirror.wiring.storage import make_data_dir

if TYPE_CHECKING:
    from distfile_mirror.wiring.doctor import Finding
    from distfile_mirror.wiring.transfer import Transferred

# Between looks at a database that was away at the start.
SCHEMA_SECONDS = 5.0
# Exit status of who found the database away.
AWAY = 75

log = structlog.get_logger()


def migrate(config: Config) -> None:
    """Bring the database to this release. Raises MirrorError."""
    from distfile_mirror.admin.settings import configure_tables

    make_data_dir(config)
    configure_tables(config.effective_database_url)
    database.migrate()


def grants(config: Config) -> str:
    """Return the SQL that lets each component do in a PostgreSQL database what it must, and no more."""
    from distfile_mirror.admin.settings import configure_tables

    configure_tables(config.effective_database_url)
    from distfile_mirror.catalog.grants import grants as statements

    return "\n".join(statements())


def serve(config: Config, announce: Callable[[Config], None], reread: Callable[[], Config]) -> None:
    """Run everything until SIGTERM or SIGINT; ``announce`` is told the settled configuration when all is up.

    At SIGHUP the configuration is read anew by ``reread``, and every process replaced.

    Raises:
        MirrorError: saying what is in the way.
    """
    refuse_own_proxy(config)
    refuse_one_address(config)
    with ExitStack() as stack:
        stack.enter_context(_sole_use(config))
        _prepare_authority(config)
        with _ending_afterwards():
            migrated = begin_apart(lambda: migrate(config))
            import_for_all()
            _exit_unless_done(migrated())
        # In this order: what is reserved would let another one of ours listen there, too.
        admin_socket = stack.enter_context(listening(config.admin_listen))
        proxy_listen = stack.enter_context(reserved(config.proxy_listen))
        config = config.model_copy(
            update={"proxy_listen": proxy_listen, "admin_listen": address_of(admin_socket, config.admin_listen)}
        )
        admin = admin_socket.fileno()
        remove_counters(config.run_dir / "proxy")
        supervisor.supervise(
            _children(config, admin),
            stop_grace=config.stop_grace,
            started=lambda: announce(config),
            reload=None if is_on_terminal() else lambda: _children(_reread(reread, config), admin),
        )


def _children(config: Config, admin: int) -> list[Child]:
    return [
        *_proxy_children(config),
        _child("web-admin", web_admin, config, inherited=admin),
        _child("cron-download-files", download_files, config, watch=True),
        _child("cron-download-containers", download_containers, config, watch=True),
        *([_child("verify", verify, config, watch=True)] if config.verify_rate else []),
    ]


def web_proxy(config: Config, reread: Callable[[], Config]) -> None:
    """Run the workers of the proxy until SIGTERM or SIGINT; at SIGHUP as ``serve``.

    With the database away they start all the same, and serve what this machine has served before. Raises MirrorError.
    """
    from distfile_mirror.wiring.authority import open_authority

    open_authority(config)  # says what is missing, once, before any worker starts
    checked = begin_apart(lambda: _check_schema(config))
    import_for_proxies()
    is_away = (status := checked()) == AWAY
    if not is_away:
        _exit_unless_done(status)
    with reserved(config.proxy_listen) as address:
        config = config.model_copy(update={"proxy_listen": address})
        remove_counters(config.run_dir / "proxy")
        supervisor.supervise(
            _proxy_children(config, is_away=is_away),
            stop_grace=config.stop_grace,
            reload=None if is_on_terminal() else lambda: _proxy_children(_reread(reread, config)),
        )


def _check_schema(config: Config) -> None:
    database.configure(config.effective_database_url)
    try:
        database.check_schema()
    except UnavailableError as error:
        log.warning("the database is away; what was served before is served", reason=str(error))
        sys.exit(AWAY)


def _check_schema_later() -> None:
    """Wait for the database, and say so for as long as it lacks what this release needs."""
    while True:
        time.sleep(SCHEMA_SECONDS)
        try:
            database.check_schema()
        except UnavailableError:
            continue  # the workers say so
        except SchemaOutdatedError as error:
            log.error("nothing can be looked up", reason=str(error))  # noqa: TRY400 - it says all
        else:
            log.info("the database is back")
            return


def proxy_worker(config: Config, number: int, *, is_away: bool = False) -> None:
    """Be a worker of the proxy; ``is_away``: the database was, so that it is not known to fit. Raises MirrorError."""
    take_descriptors()
    database.configure(config.effective_database_url)
    if is_away:
        threading.Thread(target=_check_schema_later, daemon=True, name="schema").start()
    from distfile_mirror.wiring import proxy_worker as process

    process.run(config, number)


def web_admin(config: Config, inherited: int | None = None, reread: Reread = None) -> None:
    """Serve the admin. Raises MirrorError, OSError."""
    from distfile_mirror.wiring import admin_server as process

    process.run(config, inherited, reread)


def download_files(config: Config, *, watch: bool, reread: Reread = None) -> dict[str, int]:
    """Download files; return how many ended how. Raises MirrorError, OSError."""
    _prepare_downloader(config)
    from distfile_mirror.wiring import downloader as process

    return asdict(process.run_files(config, watch=watch, reread=reread))


def download_containers(config: Config, *, watch: bool, reread: Reread = None) -> dict[str, int]:
    """Download container images; return how many ended how. Raises MirrorError, OSError."""
    _prepare_downloader(config)
    from distfile_mirror.wiring import downloader as process

    return asdict(process.run_images(config, watch=watch, reread=reread))


def verify(
    config: Config,
    *,
    watch: bool,
    start_over: bool = False,
    reread: Reread = None,
    progress: Callable[..., object] = lambda _going: None,
) -> tuple[dict[str, int], int]:
    """Read blobs again; return what was done, and how many are damaged now. Raises MirrorError."""
    database.configure(config.effective_database_url)
    database.check_schema()
    from distfile_mirror.wiring import verification

    summary, damaged = verification.run(config, watch=watch, start_over=start_over, reread=reread, progress=progress)
    return asdict(summary), damaged


def examine(config: Config) -> "Iterator[Finding]":
    """Yield what is found of every part of a configuration; see wiring.doctor."""
    from distfile_mirror.admin.settings import configure_tables

    configure_tables(config.effective_database_url)
    from distfile_mirror.wiring import doctor

    return doctor.examine(config)


def transfer(source: Config, target: Config, progress: Callable[..., object]) -> "Transferred":
    """Move an installation into another database and store. Raises MirrorError."""
    from distfile_mirror.admin.settings import configure_tables

    with _sole_use(source):
        configure_tables(source.effective_database_url)
        database.check_schema()
        from distfile_mirror.wiring import transfer as process

        with database.available():
            return process.run(source, target, progress)


def _prepare_downloader(config: Config) -> None:
    take_descriptors()
    refuse_own_proxy(config)
    database.configure(config.effective_database_url)
    database.check_schema()


def _prepare_authority(config: Config) -> None:
    from distfile_mirror.authority.root import create_authority, has_authority, load_authority
    from distfile_mirror.wiring.authority import ca_passphrase

    if has_authority(config.effective_ca_dir):
        load_authority(config.effective_ca_dir, passphrase=ca_passphrase(config))
    else:
        create_authority(config.effective_ca_dir, passphrase=ca_passphrase(config))


def _exit_unless_done(status: int) -> None:
    """Exit as another process did, which has said why, unless it did well."""
    if status:
        sys.exit(max(status, 1))


def _proxy_children(config: Config, *, is_away: bool = False) -> list[Child]:
    return [
        _child(f"web-proxy {number}", proxy_worker, config, number, is_away=is_away and number == 0)
        for number in range(config.workers)
    ]


def _reread(reread: Callable[[], Config], running: Config) -> Config:
    """Return the configuration as it is now, but for what a running process cannot change."""
    config = reread()
    kept = {name: getattr(running, name) for name in ("data_dir", "proxy_listen", "admin_listen")}
    for name, value in kept.items():
        given = getattr(config, name)
        if given != value and getattr(given, "port", None) != 0:  # a free port was settled at the start
            log.warning("a setting changes at the next start, not before", setting=name)
    return config.model_copy(update=kept)


@contextmanager
def _ending_afterwards() -> Iterator[None]:
    """Let SIGTERM and SIGINT wait for what is done meanwhile, by forks too; then exit, with status 0, if one came.

    Not every database takes back a migration that is broken off.
    """
    ends = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    yield
    if signal.sigpending() & ends:
        log.info("ended before everything was started")
        sys.exit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(name: str, run: Callable[..., object], config: Config, *arguments: object, **options: object) -> Child:
    def begin() -> None:
        configure_logging(config)
        run(config, *arguments, **options)

    return Child(name, begin)


@contextmanager
def _sole_use(config: Config) -> Iterator[None]:
    """Keep a second `serve` off the same data."""
    make_data_dir(config)
    fd = os.open(config.data_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A lock of the process, which forks do not share: it is free the moment this one is gone.
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigurationError(f"data_dir: another `distfile-mirror serve` runs on {config.data_dir}") from None
    finally:
        os.close(fd)
