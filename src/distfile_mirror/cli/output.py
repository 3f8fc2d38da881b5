"""How the client commands print: for people on a terminal, for pipes, and as JSON.

What was asked for goes to standard output; how it goes on and what went wrong to standard error.
Texts come from other people and other servers, so control characters never reach the terminal.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distfile_mirror.cli.rest import FILES, IMAGES, Document, RefusedError, kind_of
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.sizes import size_in_words
from distfile_mirror.model.states import State

FLAGS = {
    "uri": "URI",
    "reference": "REFERENCE",
    "registry": "--registry",
    "repository": "--repository",
    "digest": "--digest",
    "platforms": "--platform",
    "project": "--project",
    "reason": "--reason",
    "licence": "--licence",
    "checksums": "--checksum",
    "fallback_uris": "--fallback",
    "q": "--q",
    "state": "--state",
    "limit": "--limit",
    "label": "--label",
    "client": "--client",
    "since": "--since",
    "until": "--until",
    "actor": "--actor",
    "action": "--action",
    "kind": "--kind",
    "misses": "ID",
}
STYLES = {
    State.PRESENT: "green",
    State.FETCHING: "blue",
    State.FAILED: "red",
    State.REJECTED: "red",
    State.BLOCKED: "red reverse",
}


def stdout() -> Console:
    """Return the console for what was asked for."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def stderr() -> Console:
    """Return the console for progress and faults."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def clean(text: object) -> str:
    """Return ``text`` without anything that a terminal would obey."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in str(text))


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2))  # noqa: T201


def print_error(error: MirrorError, *, about: str = "") -> None:
    """Print what went wrong; wrong fields by the flags that they were given as."""
    console = stderr()
    prefix = f"{about}: " if about else ""
    fields = error.field_errors if isinstance(error, RefusedError) else []
    if not fields:
        console.print(Text(f"error: {prefix}", "red") + Text(clean(error)))
    for name, message in fields:
        head, _dot, rest = name.partition(".")
        flag = FLAGS.get(head, head) + (f" {int(rest) + 1}" if rest.isdecimal() else "")
        console.print(Text(f"error: {prefix}", "red") + Text(f"{clean(flag)}: {clean(message)}"))


def print_sentence(document: Document, console: Console) -> None:
    """Print in a sentence what became of a file or an image, and what to do next."""
    kind = kind_of(document)
    text = Text(clean(document[kind.named_by]), "bold")
    number, message = document["id"], clean(document["message"])
    match document["state"]:
        case State.PRESENT:
            checksum = f", sha256 {document['sha256']}" if "sha256" in document else ""
            text.append(f" is present: {size_in_words(document['size'])}{checksum}", "not bold")
        case State.FAILED:
            text.append(f" failed: {message}\n", "not bold red")
            text.append(f"  to try again: distfile-mirror retry{kind.suffix} {number}", "not bold")
            if kind is FILES:
                text.append(f"\n  if the checksum is wrong: distfile-mirror amend {number} --checksum …", "not bold")
        case State.REQUESTED:
            text.append(f" waits for approval ({kind.noun} {number})", "not bold")
        case State.REJECTED:
            text.append(f" was rejected: {message}", "not bold red")
        case State.BLOCKED:
            text.append(f" is blocked: {message}", "not bold red")
        case state:
            because = f": {message}" if message else ""
            text.append(f" is {state}{because} ({kind.noun} {number})", "not bold")
    console.print(text)


def print_list(files: Sequence[Document]) -> None:
    """Print files or images, one a line: a table on a terminal, fields separated by tabs elsewhere."""
    console = stdout()
    if not console.is_terminal:
        for file in files:
            name = file[kind_of(file).named_by]
            fields = (file["id"], file["state"], file["size"] if file["size"] is not None else "", name)
            print("\t".join(map(clean, fields)))  # noqa: T201
        return
    name = "Reference" if files and kind_of(files[0]) is IMAGES else "URI"
    table = Table("ID", "State", "Size", name, box=None, pad_edge=False)
    table.columns[0].justify = table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for file in files:
        state = Text(file["state"], STYLES.get(file["state"], ""))
        table.add_row(str(file["id"]), state, size_in_words(file["size"]), Text(clean(file[kind_of(file).named_by])))
    console.print(table, soft_wrap=False)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows, the last cell of which may be long: a table on a terminal, fields separated by tabs elsewhere."""
    console = stdout()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(clean(cell).replace("\n", " ") for cell in row))  # noqa: T201
        return
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[-1].overflow = "fold"
    for row in rows:
        cells = [Text(clean(cell)) for cell in row]
        table.add_row(*cells)
    console.print(table, soft_wrap=False)


def print_details(file: Document) -> None:
    """Print all that is known of a file."""
    facts = [
        ("uri", file["uri"]),
        ("file", file["id"]),
        ("state", file["state"]),
        ("message", file["message"]),
        ("size", exact_size(file)),
        *(("stored", f"{name}:{hexadecimal}") for name, hexadecimal in file["digests"].items()),
        *(("expected", checksum) for checksum in file["checksums"]),
        ("warning", "only weak checksums are known" if file["checksum_strength"] == "weak" else ""),
        *(("fallback", uri) for uri in file["fallback_uris"]),
        ("came from", file["final_uri"] if file["final_uri"] != file["uri"] else ""),
        ("fetched", file["fetched_at"]),
        ("next attempt", file["next_attempt_at"]),
        ("upstream now", _upstream_told(file)),
        ("damaged", file["damage"]["message"] if file.get("damage") else ""),
        ("declared", file["created_at"]),
        ("page", file["url"]),
    ]
    print_facts(facts)
    print_uses(file)


def _upstream_told(file: Document) -> str:
    upstream = file.get("upstream")
    if not upstream:
        return ""
    told = "gone: you hold the last copy" if upstream["verdict"] == "gone" else upstream["verdict"]
    message = f" ({upstream['message']})" if upstream["message"] else ""
    return f"{told}{message}, asked {upstream['checked_at']}"


def exact_size(document: Document) -> str:
    """Write the size of a file or an image for people and to the byte; empty while it has none."""
    size = document["size"]
    return f"{size_in_words(size)} ({size} bytes)" if size is not None else ""


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names with their values; those without one are left out."""
    console = stdout()
    for name, value in facts:
        if value:
            console.print(Text(f"{name + ':':<14}", "bold") + Text(clean(value)))


def print_uses(document: Document) -> None:
    """Print who uses a file or an image."""
    print_facts(
        ("used by", f"{use['project']}: {use['reason']} (licence {use['licence'] or 'unknown'}, {use['declared_by']})")
        for use in document["uses"]
    )
