"""`distfile-mirror doctor`: look at every part of a configuration, and say what to do."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from distfile_mirror.cli.server_commands import (
    AdminListen,
    AllowNetwork,
    BlobsUrl,
    CaDir,
    ConfigFile,
    ConnectTo,
    DatabaseUrl,
    DataDir,
    ProxyListen,
    UpstreamCa,
    configured,
)

STYLES = {"fine": "green", "warning": "yellow", "broken": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(doctor)


def doctor(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blobs_url: BlobsUrl = None,
    ca_dir: CaDir = None,
    proxy_listen: ProxyListen = None,
    admin_listen: AdminListen = None,
    allow_network: AllowNetwork = None,
    connect_to: ConnectTo = None,
    upstream_ca: UpstreamCa = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Look at every part of the configuration and say what to do; exit status 1 if any is broken."""
    from distfile_mirror.wiring import processes

    config = configured(
        config_file,
        data_dir=data_dir,
        database_url=database_url,
        blobs_url=blobs_url,
        ca_dir=ca_dir,
        proxy_listen=proxy_listen,
        admin_listen=admin_listen,
        allow_network=allow_network,
        connect_to=connect_to,
        upstream_ca=upstream_ca,
    )
    findings = []
    for finding in processes.examine(config):
        findings.append(finding)
        if not as_json:
            level = typer.style(f"{finding.level:<8}", fg=STYLES[finding.level])
            typer.echo(f"{level} {finding.part + ':':<14} {finding.text}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(1)
