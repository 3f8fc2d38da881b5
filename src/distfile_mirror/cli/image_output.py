"""How a container image is printed: what is known of it, and its layers or platforms as a table."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distfile_mirror.cli import output
from distfile_mirror.cli.rest import Document
from distfile_mirror.model.sizes import size_in_words

# Where there is no terminal whose width counts: no digest is broken.
WIDE = 400


def print_image(image: Document) -> None:
    """Print all that is known of an image."""
    facts = [
        ("reference", image["reference"]),
        ("image", image["id"]),
        ("tag", image["tag"]),
        ("state", image["state"]),
        ("message", image["message"]),
        ("size", output.exact_size(image)),
        ("type", image["media_type"]),
        ("wanted", ", ".join(image["chosen_platforms"])),
        ("referrers", "kept along" if image["with_referrers"] else ""),
        ("fetched", image["fetched_at"]),
        ("next attempt", image["next_attempt_at"]),
        ("declared", image["created_at"]),
        ("page", image["url"]),
        *(("evidence", f"{each['tag']} was {each['digest']} at {each['at']}") for each in image["evidence"]),
    ]
    output.print_facts(facts)
    output.print_uses(image)
    _print_table(
        ("Layer", "Size", "Type"),
        ((layer["digest"], size_in_words(layer["size"]), layer["media_type"]) for layer in image["layers"]),
    )
    platforms = {each["digest"]: each["platform"] for each in image["platforms"]}
    _print_table(
        ("Platform", "State", "Size", "Digest"),
        (
            (_platform(each, platforms), each["state"], size_in_words(each["size"]), each["digest"])
            for each in image["platforms"]
        ),
    )
    _print_table(
        ("Referrer", "Size", "Type", "Tag"),
        (
            (each["digest"], size_in_words(each["size"]), each["artifact_type"] or each["media_type"], each["tag"])
            for each in image["referrers"]
        ),
    )


def _platform(child: Document, platforms: Mapping[str, str]) -> str:
    if child["attests"]:
        return f"attestation of {platforms.get(child['attests']) or child['attests']}"
    return str(child["platform"] or child["media_type"])


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*head, box=None, pad_edge=False)
    for name, column in zip(head, table.columns, strict=True):
        column.overflow = "fold"
        column.justify = "right" if name == "Size" else "left"
    for row in rows:
        styles = (output.STYLES.get(text, "") for text in row)  # type: ignore[call-overload]
        table.add_row(*(Text(output.clean(text), style) for text, style in zip(row, styles, strict=True)))
    if table.row_count:
        console = output.stdout()
        wide = console if console.is_terminal else Console(width=WIDE, highlight=False, markup=False, emoji=False)
        wide.print()
        wide.print(table, soft_wrap=False)
