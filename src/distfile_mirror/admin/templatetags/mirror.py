"""Filters for long technical strings, so that they stay readable and inert wherever they stand."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from distfile_mirror.model.sizes import size_in_words

register = template.Library()

SHORT_DIGEST_CHARACTERS = 12
_URI = re.compile(r"([a-z]+://)([^/?#]*)([^?#]*/)?([^/?]*)(\?.*)?", re.DOTALL)
_STEPS = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@register.filter
def uri(text: str) -> SafeString:
    """Write a URI that may break after each slash; its host is strong, its last segment the strongest."""
    match = _URI.fullmatch(text)
    if not match:
        return conditional_escape(text)
    scheme, host, folders, name, query = match.groups(default="")
    return format_html(
        '<span class="uri"><span class="uri-scheme">{}</span><span class="uri-host">{}</span>{}'
        '<strong class="uri-name">{}</strong>{}</span>',
        scheme,
        host,
        _breakable(folders),
        name,
        query,
    )


@register.filter
def reference(image: object) -> SafeString:
    """Write the reference of an image; its repository's last word is the strongest, its digest is short."""
    return _written(str(image))


def _written(text: str) -> SafeString:
    name, at, full = text.partition("@")
    if not at:
        return format_html('<span class="uri"><strong class="uri-name">{}</strong></span>', text)
    host, slash, path = name.partition("/")
    folders, _slash, last = path.rpartition("/")
    return format_html(
        '<span class="uri"><span class="uri-host">{}</span>{}{}<strong class="uri-name">{}</strong>@{}:{}</span>',
        host,
        slash,
        _breakable(f"{folders}/") if folders else "",
        last,
        full.partition(":")[0],
        digest(full.partition(":")[2]),
    )


@register.filter
def digest(text: str) -> SafeString:
    """Write the start of a digest, and the whole where somebody points at it or copies it."""
    return format_html(
        '<code class="digest" tabindex="0" title="{}"><span>{}</span><span class="rest">{}</span></code>',
        text,
        text[:SHORT_DIGEST_CHARACTERS],
        text[SHORT_DIGEST_CHARACTERS:],
    )


@register.filter
def size(count: int | None) -> str:
    """Write a number of bytes for people; nothing for None."""
    return size_in_words(count)


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """Write a time as people say it, the exact one (UTC) on hover; nothing for None."""
    if moment is None:
        return mark_safe("")
    exact = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, _spoken(timezone.now() - moment)
    )


@register.filter
def state(word: str) -> SafeString:
    """Write a state by word and colour."""
    return format_html('<span class="state state-{}">{}</span>', word, word)


@register.filter
def fact(value: Any) -> str:
    """Write a value of an audit event: a mapping as name:value, a list with commas, nothing as "none"."""
    if isinstance(value, Mapping):
        return fact([f"{name}:{each}" for name, each in value.items()])
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value not in ("", None) else "none"


@register.filter
def at(mapping: Mapping[str, Any], name: str) -> Any:
    """Return what stands in ``mapping`` under ``name``; templates have no notation for it."""
    return mapping.get(name)


@register.filter
def grouped(number: int | None) -> str:
    """Write a number with its thousands apart; nothing for None."""
    return "" if number is None else f"{number:,}"


@register.filter
def address(artifact: object) -> str:
    """Return the address of an artifact's page."""
    return f"/{'files' if _is_file(artifact) else 'images'}/{artifact.pk}"  # type: ignore[attr-defined]


@register.filter
def slug(artifact: object) -> str:
    """Return what tells an artifact from all others on a page."""
    return address(artifact).strip("/").replace("/", "-")


@register.filter
def named(artifact: object) -> SafeString:
    """Write an artifact's URI or reference."""
    return uri(str(artifact)) if _is_file(artifact) else reference(artifact)


@register.filter
def missed(miss: Any) -> SafeString:
    """Write what was asked for in vain."""
    return uri(miss.name) if miss.kind == "file" else _written(miss.name)


@register.filter
def subject(event: Any) -> SafeString:
    """Write what an audit event is about, with a link to it if it has a page."""
    shown = uri(event.subject) if "://" in event.subject else _written(event.subject)
    if event.subject_kind in {"file", "image"}:
        return format_html('<a class="plain" href="/{}s/{}">{}</a>', event.subject_kind, event.subject_id, shown)
    return shown


@register.filter
def artifact_of_use(use: Any) -> Any:
    """Return what a use is of."""
    return use.file or use.image


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: str) -> str:
    """Return this page's query string with ``changes``, from the first page on; an empty value leaves out."""
    given = {**context["request"].GET.dict(), "cursor": "", **changes}
    return "?" + urlencode({name: value for name, value in given.items() if value})


def _is_file(artifact: object) -> bool:
    return type(artifact).__name__ == "File"


def _breakable(folders: str) -> SafeString:
    pieces = re.findall(r"[^/]*/", folders)
    return format_html_join("", "{}<wbr>", ((piece,) for piece in pieces))


def _spoken(distance: timedelta) -> str:
    seconds = distance.total_seconds()
    for name, length in _STEPS:
        count = int(abs(seconds) // length)
        if count:
            many = f"{count} {name}{'s' if count > 1 else ''}"
            return f"{many} ago" if seconds > 0 else f"in {many}"
    return "now"
