"""How the client commands print: for people on a terminal, for pipes, and as JSON.

What was asked for goes to standard output; how it goes on and what went wrong to standard error.
Texts come from other people and other servers, so control characters never reach the terminal.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distfile_mirror.cli.rest import Document, RefusedError
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.sizes import size_in_words
from distfile_mirror.model.states import State

FLAGS = {
    "uri": "URI",
    "project": "--project",
    "reason": "--reason",
    "licence": "--licence",
    "checksums": "--checksum",
    "fallback_uris": "--fallback",
    "q": "--q",
    "state": "--state",
    "limit": "--limit",
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


def print_sentence(file: Document, console: Console) -> None:
    """Print in a sentence what became of a file, and what to do next."""
    text = Text(clean(file["uri"]), "bold")
    number, message = file["id"], clean(file["message"])
    match file["state"]:
        case State.PRESENT:
            text.append(f" is present: {size_in_words(file['size'])}, sha256 {file['sha256']}", "not bold")
        case State.FAILED:
            text.append(f" failed: {message}\n", "not bold red")
            text.append(f"  to try again: distfile-mirror retry {number}\n", "not bold")
            text.append(f"  if the checksum is wrong: distfile-mirror amend {number} --checksum …", "not bold")
        case State.BLOCKED:
            text.append(f" is blocked: {message}", "not bold red")
        case state:
            because = f": {message}" if message else ""
            text.append(f" is {state}{because} (file {number})", "not bold")
    console.print(text)


def print_list(files: Sequence[Document]) -> None:
    """Print files, one a line: a table on a terminal, fields separated by tabs elsewhere."""
    console = stdout()
    if not console.is_terminal:
        for file in files:
            fields = (file["id"], file["state"], file["size"] if file["size"] is not None else "", file["uri"])
            print("\t".join(map(clean, fields)))  # noqa: T201
        return
    table = Table("ID", "State", "Size", "URI", box=None, pad_edge=False)
    table.columns[0].justify = table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for file in files:
        state = Text(file["state"], STYLES.get(file["state"], ""))
        table.add_row(str(file["id"]), state, size_in_words(file["size"]), Text(clean(file["uri"])))
    console.print(table, soft_wrap=False)


def print_details(file: Document) -> None:
    """Print all that is known of a file."""
    console = stdout()
    facts = [
        ("uri", file["uri"]),
        ("file", file["id"]),
        ("state", file["state"]),
        ("message", file["message"]),
        ("size", f"{size_in_words(file['size'])} ({file['size']} bytes)" if file["size"] is not None else ""),
        *(("stored", f"{name}:{hexadecimal}") for name, hexadecimal in file["digests"].items()),
        *(("expected", checksum) for checksum in file["checksums"]),
        ("warning", "only weak checksums are known" if file["checksum_strength"] == "weak" else ""),
        *(("fallback", uri) for uri in file["fallback_uris"]),
        ("came from", file["final_uri"] if file["final_uri"] != file["uri"] else ""),
        ("fetched", file["fetched_at"]),
        ("next attempt", file["next_attempt_at"]),
        ("declared", file["created_at"]),
        ("page", file["url"]),
    ]
    for name, value in facts:
        if value:
            console.print(Text(f"{name + ':':<14}", "bold") + Text(clean(value)))
    for use in file["uses"]:
        by = f"{use['project']}: {use['reason']} (licence {use['licence'] or 'unknown'}, {use['declared_by']})"
        console.print(Text(f"{'used by:':<14}", "bold") + Text(clean(by)))
