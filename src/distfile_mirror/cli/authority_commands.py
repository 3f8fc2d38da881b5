"""`distfile-mirror ca`: make or adopt the certificate authority, show it, export it for clients."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distfile_mirror.cli.server_commands import CaDir, ConfigFile, DataDir, configured

if TYPE_CHECKING:
    from distfile_mirror.config import Config

app = typer.Typer(help="The certificate authority that signs what the proxy shows to clients.", no_args_is_help=True)


class ExportFormat(StrEnum):
    """What clients take."""

    PEM = "pem"
    DER = "der"
    JAVA = "java"


@app.command()
def init(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    ca_dir: CaDir = None,
    name: Annotated[str, typer.Option(help="Common name of a new CA.")] = "Distfile Mirror CA",
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Adopt this CA (PEM; chain after it) instead of making one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM, RSA or EC).")] = None,
) -> None:
    """Make a CA, or adopt an existing one. DISTFILE_MIRROR_CA_PASSPHRASE encrypts (and decrypts) its key."""
    from distfile_mirror.authority import root
    from distfile_mirror.wiring.storage import ca_passphrase

    if (certificate is None) != (key is None):
        typer.echo("distfile-mirror: --certificate and --key go together", err=True)
        raise typer.Exit(2)
    config = configured(config_file, data_dir=data_dir, ca_dir=ca_dir)
    if certificate is not None and key is not None:
        root.adopt_authority(
            config.effective_ca_dir, certificate.read_bytes(), key.read_bytes(), passphrase=ca_passphrase(config)
        )
    else:
        root.create_authority(config.effective_ca_dir, name=name, passphrase=ca_passphrase(config))
    _show(config, as_json=False)


@app.command()
def show(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    ca_dir: CaDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show the CA: where it is, its name, its time, its fingerprint."""
    _show(configured(config_file, data_dir=data_dir, ca_dir=ca_dir), as_json=as_json)


@app.command()
def export(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    ca_dir: CaDir = None,
    form: Annotated[ExportFormat, typer.Option("--format", help="java: a trust store (PKCS #12).")] = ExportFormat.PEM,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="By default standard output.")] = None,
) -> None:
    """Write the CA's certificate, never its key, in a form that clients take."""
    from distfile_mirror.authority import root
    from distfile_mirror.wiring.storage import open_authority

    authority = open_authority(configured(config_file, data_dir=data_dir, ca_dir=ca_dir))
    content = {
        ExportFormat.PEM: root.certificate_pem,
        ExportFormat.DER: root.certificate_der,
        ExportFormat.JAVA: root.java_trust_store,
    }[form](authority)
    if output is not None:
        output.write_bytes(content)
        if form is ExportFormat.JAVA:
            typer.echo(f"the password of {output} is {root.TRUST_STORE_PASSWORD}", err=True)
        return
    sys.stdout.buffer.write(content)


def _show(config: "Config", *, as_json: bool) -> None:
    from distfile_mirror.authority import root
    from distfile_mirror.wiring.storage import open_authority

    authority = open_authority(config)
    certificate = authority.certificate
    facts = {
        "certificate": str(config.effective_ca_dir / root.CERTIFICATE_FILE),
        "key": str(config.effective_ca_dir / root.KEY_FILE),
        "subject": certificate.subject.rfc4514_string(),
        "valid_from": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "valid_until": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "sha256_fingerprint": root.fingerprint(authority),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):20}{value}")
