"""The commands that serve: all in one, each component alone, and the database's migration.

What they run is imported when they run: a client command must not wait for a web framework.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distfile_mirror import __version__

if TYPE_CHECKING:
    from distfile_mirror.config import Config

READY_WITHIN_SECONDS = 30.0
READY_POLL_SECONDS = 0.1
# A document that has been at its address for years, to try things out with.
EXAMPLE_URI = "https://www.rfc-editor.org/rfc/rfc9110.txt"

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", envvar="DISTFILE_MIRROR_CONFIG", metavar="FILE", help="TOML file with settings."),
]
DataDir = Annotated[
    str | None, typer.Option("--data-dir", metavar="DIR", help="Database, blobs and CA (default: data).")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", metavar="URL", help="sqlite:///PATH (default: DATA/catalog.sqlite3), postgresql://…"
    ),
]
CaDir = Annotated[
    str | None, typer.Option("--ca-dir", metavar="DIR", help="The CA's certificate and key (default: DATA/ca).")
]
BlobsUrl = Annotated[
    str | None, typer.Option("--blobs-url", metavar="URL", help="s3://BUCKET/PREFIX and others (default: DATA/blobs).")
]
ProxyListen = Annotated[
    str | None, typer.Option("--proxy-listen", metavar="HOST:PORT", help="Where builds come (default: 127.0.0.1:3128).")
]
AdminListen = Annotated[
    str | None, typer.Option("--admin-listen", metavar="HOST:PORT", help="Where people come (default: 127.0.0.1:8080).")
]
Workers = Annotated[
    str | None, typer.Option("--workers", metavar="N", help="Proxy processes (default: one a core, at most 4).")
]
AllowNetwork = Annotated[
    list[str] | None,
    typer.Option("--allow-network", metavar="CIDR", help="Let downloads reach a private network; repeatable."),
]
ConnectTo = Annotated[
    list[str] | None,
    typer.Option("--connect-to", metavar="HOST:PORT:ADDR:PORT", help="As curl's; for downloads; repeatable."),
]
UpstreamCa = Annotated[
    str | None, typer.Option("--upstream-ca", metavar="FILE", help="PEM file of further CAs that upstreams may have.")
]

Watch = Annotated[bool, typer.Option("--watch", help="Go on for ever, instead of doing what is due.")]


def register(app: typer.Typer) -> None:
    """Add the server commands to ``app``."""
    app.command()(serve)
    app.command("web-proxy")(web_proxy)
    app.command("web-admin")(web_admin)
    app.command("cron-download-files")(cron_download_files)
    app.command("cron-download-containers")(cron_download_containers)
    app.command()(migrate)


def configured(file: Path | None, **flags: Any) -> "Config":
    """Load the configuration and set logging up; exits with status 2 and every mistake."""
    return rereadable(file, **flags)[0]


def rereadable(file: Path | None, **flags: Any) -> "tuple[Config, Callable[[], Config]]":
    """Load the configuration as ``configured`` does; return it, and what reads it anew or raises ConfigurationError."""
    from distfile_mirror.config import ConfigurationError, load_config
    from distfile_mirror.wiring.logs import configure_logging

    try:
        config = load_config(flags, file)
    except ConfigurationError as error:
        typer.echo(f"distfile-mirror: {error}", err=True)
        raise typer.Exit(2) from None
    configure_logging(config)
    return config, lambda: load_config(flags, file)


def serve(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    ca_dir: CaDir = None,
    blobs_url: BlobsUrl = None,
    proxy_listen: ProxyListen = None,
    admin_listen: AdminListen = None,
    workers: Workers = None,
    allow_network: AllowNetwork = None,
    connect_to: ConnectTo = None,
    upstream_ca: UpstreamCa = None,
) -> None:
    """Run everything on this machine: proxy, admin and downloaders, with SQLite and a folder."""
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        ca_dir=ca_dir,
        blobs_url=blobs_url,
        proxy_listen=proxy_listen,
        admin_listen=admin_listen,
        workers=workers,
        allow_network=allow_network,
        connect_to=connect_to,
        upstream_ca=upstream_ca,
    )
    processes.serve(config, announce, reread)


def web_proxy(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    ca_dir: CaDir = None,
    blobs_url: BlobsUrl = None,
    proxy_listen: ProxyListen = None,
    workers: Workers = None,
) -> None:
    """Serve builds: the HTTP proxy."""
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        ca_dir=ca_dir,
        blobs_url=blobs_url,
        proxy_listen=proxy_listen,
        workers=workers,
    )
    processes.web_proxy(config, reread)


def web_admin(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    ca_dir: CaDir = None,
    blobs_url: BlobsUrl = None,
    admin_listen: AdminListen = None,
    inherited: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve people: the web UI and the REST API."""
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        ca_dir=ca_dir,
        blobs_url=blobs_url,
        admin_listen=admin_listen,
    )
    processes.web_admin(config, inherited, reread)


def cron_download_files(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blobs_url: BlobsUrl = None,
    allow_network: AllowNetwork = None,
    connect_to: ConnectTo = None,
    upstream_ca: UpstreamCa = None,
    watch: Watch = False,
) -> None:
    """Download declared files: what is due now, for cron, or with --watch whatever comes.

    Then ask a few upstreams, for 20 seconds at most, whether they still have what was stored long ago.
    """
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        blobs_url=blobs_url,
        allow_network=allow_network,
        connect_to=connect_to,
        upstream_ca=upstream_ca,
    )
    _tell(processes.download_files(config, watch=watch, reread=reread), watch=watch)


def cron_download_containers(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blobs_url: BlobsUrl = None,
    allow_network: AllowNetwork = None,
    connect_to: ConnectTo = None,
    upstream_ca: UpstreamCa = None,
    watch: Watch = False,
) -> None:
    """Download declared container images: what is due now, for cron, or with --watch whatever comes."""
    from distfile_mirror.wiring import processes

    config, reread = rereadable(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        blobs_url=blobs_url,
        allow_network=allow_network,
        connect_to=connect_to,
        upstream_ca=upstream_ca,
    )
    _tell(processes.download_containers(config, watch=watch, reread=reread), watch=watch)


def migrate(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    print_grants: Annotated[
        bool,
        typer.Option("--print-grants", help="Print the SQL of a database role for each component; change nothing."),
    ] = False,
) -> None:
    """Bring the database's schema to this release."""
    from distfile_mirror.wiring import processes

    config = configured(config_file, data_dir=data_dir, database_url=database_url)
    if print_grants:
        typer.echo(processes.grants(config))
        return
    processes.migrate(config)
    typer.echo("the database is of this release")


def announce(config: "Config") -> None:
    """Wait until everything answers, then say what is where and what to paste next."""
    from rich.console import Console

    for url in (config.effective_proxy_url, config.effective_admin_url):
        _wait_until_healthy(url)
    ca_file = _shortest(config.effective_ca_dir / "ca.pem")
    program = _shortest(Path(sys.argv[0]))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]Distfile Mirror {__version__}[/bold] is up.\n")
    console.print(f"  proxy  {config.effective_proxy_url}  for builds ({config.workers} workers)")
    console.print(f"  admin  {config.effective_admin_url}  for people, {_sign_in_told(config)}")
    blobs = config.blobs_location
    what = "database, blobs and CA" if blobs.folder is not None else "database and CA"
    console.print(f"  data   {_shortest(config.data_dir)}  {what}: keep it, and back it up")
    if blobs.folder is None:
        console.print(f"  blobs  {blobs}")
    console.print(f"  CA     {ca_file}  for clients to trust\n")
    if "accounts" in config.sign_in:
        add = f"{program} users add NAME --role administrator --data-dir {_shortest(config.data_dir)}"
        console.print(
            f"Without an administrator yet, add one; tokens for the commands are on the account page:\n\n  {add}\n"
        )
    console.print("Declare something, and get it through the proxy:\n")
    server = "" if config.admin_listen.port == 8080 else f" --server {config.effective_admin_url}"  # noqa: PLR2004
    console.print(f"  {program} add {EXAMPLE_URI} --project try --reason 'to see it work' --wait{server}")
    console.print(f"  curl --proxy {config.effective_proxy_url} --cacert {ca_file} -O {EXAMPLE_URI}\n")
    console.print("Ctrl-C stops everything.")


def _sign_in_told(config: "Config") -> str:
    return "without sign-in: this machine only" if config.sign_in == ("none",) else "who sign in"


def _wait_until_healthy(url: str) -> None:
    until = time.monotonic() + READY_WITHIN_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        try:
            with opener.open(f"{url}/health", timeout=READY_WITHIN_SECONDS):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(READY_POLL_SECONDS)


def _shortest(path: Path) -> str:
    relative = os.path.relpath(path)
    return (
        relative
        if len(relative) < len(str(path.absolute())) and not relative.startswith("..")
        else str(path.absolute())
    )


def _tell(summary: dict[str, int], *, watch: bool) -> None:
    if not watch:
        typer.echo(json.dumps(summary) if not sys.stdout.isatty() else _in_words(summary))


def _in_words(summary: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.items())
