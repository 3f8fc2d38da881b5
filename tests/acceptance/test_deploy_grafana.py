"""deploy/grafana: every query of the dashboard is PromQL and asks for what is told."""

import itertools
import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.acceptance import known_metrics
from tests.acceptance.pages import ROOT
from tests.requirements import skip

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "distfile-mirror.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]


def checked(expressions, folder):
    """Let promtool parse ``expressions``, as they are once Grafana has filled its variables in."""
    if not shutil.which("promtool"):
        skip("promtool is not installed (Debian: prometheus)")
    filled = [text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in expressions]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(filled)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    return subprocess.run(
        ["promtool", "check", "rules", folder / "rules.yml"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_queries_are_promql(tmp_path):
    done = checked(EXPRESSIONS, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout
    assert checked(["sum(("], tmp_path).returncode != 0


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_queries_ask_for_what_is_told(expression):
    assert not known_metrics.unknown_in(expression)
    assert not known_metrics.wrongly_put_together(expression)


def test_labels_are_told_with_the_metric():
    labels = known_metrics.told()
    for expression in EXPRESSIONS:
        grouped = {name.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for name in found.split(",")}
        names = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bdistfile_mirror_\w+", expression)}
        for name in names:
            assert grouped <= labels[name] | {"instance", "le"}, expression


def test_every_variable_is_defined():
    named = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert named <= {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval"}


def test_panels_have_a_place_of_their_own():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_panels_say_what_they_show():
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS if panel["type"] != "row")
