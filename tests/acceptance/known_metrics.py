"""The metrics that rules and dashboards may use, and how: those that docs/reference/metrics.md has."""

import re

from tests.acceptance.pages import ROOT

# What Prometheus tells of every target, and Python's client of every process.
USUAL = {"up", "process_resident_memory_bytes", "process_open_fds"}
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
# What is put together, and how: `sum by (kind) (rate(name`.
TOGETHER = re.compile(r"\b(sum|max|min|avg)\s*(?:by \([^)]*\))?\s*\(\s*(?:(?:rate|increase)\()?(distfile_mirror_\w+)")
PAGE = ROOT / "docs" / "reference" / "metrics.md"
# Of the CA, which every proxy tells alike.
ALIKE = {"distfile_mirror_ca_not_after_seconds"}


def told():
    """Return name -> labels of every metric in the reference."""
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, _type, labels in ROW.findall(PAGE.read_text("utf-8"))}


def told_alike():
    """Return the gauges that every copy of the admin, or of the proxy, tells alike; all else each process counts."""
    [admin] = re.findall(r"^## Admin$(.*?)^## ", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return ALIKE | {name for name, kind, _labels in ROW.findall(admin) if kind == "gauge"}


def wrongly_put_together(expression):
    """Return the metrics in ``expression`` that are added up although all tell the same, or not although none does."""
    alike = told_alike()
    return {name for how, name in TOGETHER.findall(expression) if (how == "sum") == (name in alike)}


def unknown_in(expression):
    """Return the names in ``expression`` that look like metrics and are none."""
    known = {*told(), *USUAL}
    without_text = re.sub(r'"[^"]*"', "", expression)
    named = set(re.findall(r"\b(?:distfile_mirror|process|python)_\w+|\bup\b", without_text))
    return {name for name in named if re.sub(r"_(bucket|count|sum)$", "", name) not in known and name not in known}
