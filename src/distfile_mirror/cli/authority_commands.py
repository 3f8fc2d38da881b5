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
    from distfile_mirror.wiring.authority import ca_passphrase

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
    from distfile_mirror.wiring.authority import open_authority

    authority = open_authority(configured(config_file, data_dir=data_dir, ca_dir=ca_dir))
    match form:
        case ExportFormat.PEM:
            content = root.certificate_pem(authority)
        case ExportFormat.DER:
            content = root.certificate_der(authority)
        case ExportFormat.JAVA:
            content = root.java_trust_store(authority.anchors)
    if output is not None:
        output.write_bytes(content)
        if form is ExportFormat.JAVA:
            typer.echo(f"the password of {output} is {root.TRUST_STORE_PASSWORD}", err=True)
        return
    sys.stdout.buffer.write(content)


@app.command()
def rotate(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    ca_dir: CaDir = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Let the next CA sign, now that clients have it.")
    ] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Offer the CA from before no longer.")] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Adopt this CA (PEM; chain after it) as the next one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM, RSA or EC).")] = None,
) -> None:
    """Replace the CA in three steps: make the next one and offer it; --activate it; --finish. No restart is needed."""
    from distfile_mirror.authority import root, rotation
    from distfile_mirror.wiring.authority import ca_passphrase

    if (certificate is None) != (key is None) or (activate and finish) or (certificate and (activate or finish)):
        typer.echo("distfile-mirror: --certificate and --key go together, and with no other step", err=True)
        raise typer.Exit(2)
    config = configured(config_file, data_dir=data_dir, ca_dir=ca_dir)
    folder, passphrase = config.effective_ca_dir, ca_passphrase(config)
    if finish:
        rotation.finish(folder)
        typer.echo("the CA from before is offered to nobody any more")
    elif activate:
        authority = rotation.activate(folder, passphrase=passphrase)
        typer.echo(f"this CA signs from now on: {root.fingerprint(authority)}\n")
        typer.echo("Proxies take it within seconds. When no client has the CA from before alone: ca rotate --finish")
    else:
        adopted = (certificate.read_bytes(), key.read_bytes()) if certificate and key else None
        coming = rotation.prepare(folder, passphrase=passphrase, adopted=adopted)
        typer.echo(f"the next CA: {root.fingerprint(coming)}\n")
        typer.echo("It is offered to clients beside the present one, as /ca.pem and by `ca export`.")
        typer.echo("Give it to all of them, then: distfile-mirror ca rotate --activate")


def _show(config: "Config", *, as_json: bool) -> None:
    from distfile_mirror.authority import root
    from distfile_mirror.wiring.authority import open_authority

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
