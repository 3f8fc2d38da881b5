"""Lines that a person pastes to get a file through the mirror, complete, with this server's own addresses. Pure."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the lines are made of. ``sha256`` is empty while nothing is stored."""

    uri: str
    sha256: str
    proxy_url: str
    ca_file: Path


def fetch_commands(facts: FileFacts) -> list[tuple[str, str]]:
    """Return titles and lines."""
    name = unquote(urlsplit(facts.uri).path.rpartition("/")[2])
    commands = [("curl", _curl(facts, has_name=bool(name))), ("wget", _wget(facts))]
    if facts.sha256 and name:
        check = f"echo {shlex.quote(f'{facts.sha256}  {name}')} | sha256sum --check"
        commands += [
            ("Check what came", check),
            ("Bazel", _bazel(facts, name)),
            ("Buildroot, in the package's .hash file", f"sha256  {facts.sha256}  {name}"),
        ]
    return commands


def _curl(facts: FileFacts, *, has_name: bool) -> str:
    trust = f" --cacert {shlex.quote(str(facts.ca_file))}" if _is_encrypted(facts) else ""
    output = "--remote-name" if has_name else "--output download"
    return f"curl --fail --proxy {shlex.quote(facts.proxy_url)}{trust} {output} {shlex.quote(facts.uri)}"


def _wget(facts: FileFacts) -> str:
    trust = f" --ca-certificate={shlex.quote(str(facts.ca_file))}" if _is_encrypted(facts) else ""
    variable = "https_proxy" if _is_encrypted(facts) else "http_proxy"
    return f"{variable}={shlex.quote(facts.proxy_url)} wget{trust} {shlex.quote(facts.uri)}"


def _bazel(facts: FileFacts, name: str) -> str:
    label = "".join(character if character.isalnum() else "_" for character in name.partition(".")[0].lower())
    return (
        "http_archive(\n"
        f'    name = "{label or "archive"}",\n'
        f'    sha256 = "{facts.sha256}",\n'
        f"    urls = [{_starlark(facts.uri)}],\n"
        ")"
    )


def _starlark(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _is_encrypted(facts: FileFacts) -> bool:
    return facts.uri.startswith("https:")
