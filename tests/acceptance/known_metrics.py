"""The names of metrics that rules and dashboards may use: those that docs/reference/metrics.md has."""

import re

from tests.acceptance.pages import ROOT

# What Prometheus tells of every target, and Python's client of every process.
USUAL = {"up", "process_resident_memory_bytes", "process_open_fds"}
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


def told():
    """Return name -> labels of every metric in the reference."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, _type, labels in ROW.findall(page)}


def unknown_in(expression):
    """Return the names in ``expression`` that look like metrics and are none."""
    known = {*told(), *USUAL}
    without_text = re.sub(r'"[^"]*"', "", expression)
    named = set(re.findall(r"\b(?:distfile_mirror|process|python)_\w+|\bup\b", without_text))
    return {name for name in named if re.sub(r"_(bucket|count|sum)$", "", name) not in known and name not in known}
