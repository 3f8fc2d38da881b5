"""deploy/prometheus: judged by promtool, and every alert made to fire and not to fire."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.acceptance import known_metrics
from tests.acceptance.pages import ROOT
from tests.requirements import skip

FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yml"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
PROXY = 'job="distfile-mirror-proxy",instance="a:3128"'
REQUESTS = "distfile_mirror_proxy_requests_total"
HANDSHAKES = "distfile_mirror_proxy_tls_handshakes"
ROUND = "distfile_mirror_round"
BLOBS_OF_A = '_timestamp_seconds{round="blobs",instance="a"}'
DAY = 86400
# What fires after two hours, what does not, as series and values of one minute each; and the labels of what fires.
# Time begins at 0 there.
CASES = {
    "DistfileMirrorProxyDown": ({f"up{{{PROXY}}}": "1x5 0x200"}, {f"up{{{PROXY}}}": "1x205"}, PROXY),
    "DistfileMirrorNoProxy": (
        {f"up{{{PROXY}}}": "1x5 0x200"},
        {f"up{{{PROXY}}}": "0x205", 'up{job="distfile-mirror-proxy",instance="b:3128"}': "1x205"},
        "",
    ),
    "DistfileMirrorUnavailable": (
        {
            f'{REQUESTS}{{{PROXY},outcome="served"}}': "0+98x200",
            f'{REQUESTS}{{{PROXY},outcome="unavailable"}}': "0+2x200",
        },
        {
            f'{REQUESTS}{{{PROXY},outcome="served"}}': "0+999x200",
            f'{REQUESTS}{{{PROXY},outcome="unavailable"}}': "0+1x200",
        },
        "",
    ),
    "DistfileMirrorLookupsFail": (
        {f"distfile_mirror_proxy_lookups_failed_total{{{PROXY}}}": "0+1x200"},
        {f"distfile_mirror_proxy_lookups_failed_total{{{PROXY}}}": "7x200"},
        'instance="a:3128"',
    ),
    "DistfileMirrorSlow": (
        {
            f'distfile_mirror_request_duration_seconds_bucket{{{PROXY},le="1"}}': "0+90x200",
            f'distfile_mirror_request_duration_seconds_bucket{{{PROXY},le="5"}}': "0+100x200",
            f'distfile_mirror_request_duration_seconds_bucket{{{PROXY},le="+Inf"}}': "0+100x200",
        },
        {
            f'distfile_mirror_request_duration_seconds_bucket{{{PROXY},le="0.1"}}': "0+100x200",
            f'distfile_mirror_request_duration_seconds_bucket{{{PROXY},le="+Inf"}}': "0+100x200",
        },
        'instance="a:3128"',
    ),
    "DistfileMirrorConnectionsRefused": (
        {f'distfile_mirror_proxy_limits_total{{{PROXY},limit="connections"}}': "0+1x200"},
        {f'distfile_mirror_proxy_limits_total{{{PROXY},limit="idle_time"}}': "0+1x200"},
        'instance="a:3128",limit="connections"',
    ),
    "DistfileMirrorHandshakesFail": (
        {f"{HANDSHAKES}_total{{{PROXY}}}": "0+7x200", f"{HANDSHAKES}_failed_total{{{PROXY}}}": "0+3x200"},
        {f"{HANDSHAKES}_total{{{PROXY}}}": "0+9x200", f"{HANDSHAKES}_failed_total{{{PROXY}}}": "0+1x200"},
        'instance="a:3128"',
    ),
    "DistfileMirrorSightingsLost": (
        {f"distfile_mirror_proxy_sightings_dropped_total{{{PROXY}}}": "0+10x200"},
        {f"distfile_mirror_proxy_sightings_dropped_total{{{PROXY}}}": "0+1x200"},
        'instance="a:3128"',
    ),
    "DistfileMirrorStoreCorrupt": (
        {f'distfile_mirror_proxy_cache_corrupt_total{{{PROXY},worker="0"}}': "0x100 1x100"},
        {f'distfile_mirror_proxy_cache_corrupt_total{{{PROXY},worker="0"}}': "3x200"},
        'instance="a:3128"',
    ),
    "DistfileMirrorCAEndsInTwoMonths": (
        {f"distfile_mirror_ca_not_after_seconds{{{PROXY}}}": f"{59 * DAY}x200"},
        {f"distfile_mirror_ca_not_after_seconds{{{PROXY}}}": f"{61 * DAY}x200"},
        "",
    ),
    "DistfileMirrorCAEndsInTwoWeeks": (
        {f"distfile_mirror_ca_not_after_seconds{{{PROXY}}}": f"{13 * DAY}x200"},
        {f"distfile_mirror_ca_not_after_seconds{{{PROXY}}}": f"{15 * DAY}x200"},
        "",
    ),
    "DistfileMirrorNoAdmin": (
        {'up{job="distfile-mirror-admin"}': "0x200"},
        {'up{job="distfile-mirror-admin"}': "1x200"},
        "",
    ),
    "DistfileMirrorDatabaseDown": (
        {"distfile_mirror_database_up": "1x5 0x200"},
        {"distfile_mirror_database_up": "0x5 1x200"},
        "",
    ),
    "DistfileMirrorQueueStands": (
        {'distfile_mirror_queue_oldest_due_seconds{kind="file"}': "0+60x200"},
        {'distfile_mirror_queue_oldest_due_seconds{kind="file"}': "600x200"},
        'kind="file"',
    ),
    "DistfileMirrorDownloadsFail": (
        {
            'distfile_mirror_downloads_total{kind="file",result="failed",instance="a"}': "0+4x200",
            'distfile_mirror_downloads_total{kind="file",result="failed",instance="b"}': "0+4x200",
            'distfile_mirror_downloads_total{kind="file",result="fetched",instance="a"}': "0+6x200",
        },
        {
            'distfile_mirror_downloads_total{kind="file",result="failed",instance="a"}': "0+6x200",
            'distfile_mirror_downloads_total{kind="file",result="fetched",instance="a"}': "0+4x200",
            'distfile_mirror_downloads_total{kind="file",result="fetched",instance="b"}': "0+4x200",
        },
        'kind="file"',
    ),
    "DistfileMirrorDamagedBlobs": (
        {
            'distfile_mirror_damaged_blobs{instance="a",problem="corrupt"}': "0x5 1x200",
            'distfile_mirror_damaged_blobs{instance="b",problem="corrupt"}': "0x5 1x200",
            'distfile_mirror_damaged_blobs{instance="b",problem="missing"}': "0x205",
        },
        {'distfile_mirror_damaged_blobs{problem="missing"}': "0x200"},
        'problem="corrupt"',
    ),
    "DistfileMirrorVerificationStands": (
        {f"{ROUND}_finished{BLOBS_OF_A}": "0x2000", f"{ROUND}_started{BLOBS_OF_A}": f"{DAY}x2000"},
        {f"{ROUND}_finished{BLOBS_OF_A}": f"{3 * DAY}x2000", f"{ROUND}_started{BLOBS_OF_A}": f"{DAY}x2000"},
        'round="blobs"',
    ),
}
# What takes longer: when it is looked, and how far apart values are.
SLOW = {"DistfileMirrorVerificationStands": ("62d", "1h")}


@pytest.fixture(autouse=True)
def _promtool():
    if not shutil.which("promtool"):
        skip("promtool is not installed (Debian: prometheus)")


def promtool(*arguments):
    return subprocess.run(
        ["promtool", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_rules_are_well_formed():
    done = promtool("check", "rules", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes.yml"])
def test_configurations_are_accepted(name, tmp_path):
    config = yaml.safe_load((FOLDER / name).read_text())
    shutil.copy(RULES, tmp_path)
    (tmp_path / "token").write_text("secret\n")
    for job in config["scrape_configs"]:
        # Debian's promtool is built without it; what can be watched there, it knows nothing about.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["10.0.0.7:3128"]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / name).write_text(yaml.safe_dump(config))
    done = promtool("check", "config", "--lint-fatal", tmp_path / name)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {"proxy", "admin", "downloader", "verify"}
    assert {job["job_name"] for job in config["scrape_configs"]} == {f"distfile-mirror-{job}" for job in jobs}


def test_every_alert_has_a_case():
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_fires_when_it_should_and_at_no_other_time(alert, tmp_path):
    firing, quiet, _labels = CASES[alert]
    judge(alert, firing, tmp_path / "firing.yml", fires=True)
    judge(alert, quiet, tmp_path / "quiet.yml", fires=False)
    with pytest.raises(AssertionError, match="FAILED"):  # promtool tells the two apart
        judge(alert, firing, tmp_path / "swapped.yml", fires=False)


@pytest.mark.parametrize(
    ("finished", "started", "fires"),
    [
        pytest.param(0, 3 * DAY, False, id="a first round that still goes on"),
        pytest.param(DAY, 61 * DAY, True, id="a round that was begun late"),
        pytest.param(DAY, DAY, True, id="no other round since"),
        pytest.param(32 * DAY, 61 * DAY, False, id="one round after the other"),
    ],
)
def test_rounds(finished, started, fires, tmp_path):
    series = {f"{ROUND}_finished{BLOBS_OF_A}": f"{finished}x2000", f"{ROUND}_started{BLOBS_OF_A}": f"{started}x2000"}
    # Upstreams have a round of their own.
    series |= {name.replace("blobs", "upstreams"): f"{DAY}x2000" for name in series}
    judge("DistfileMirrorVerificationStands", series, tmp_path / "round.yml", fires=fires)


def judge(alert, series, path, *, fires):
    """Have promtool judge whether ``alert`` fires, with the labels that it should have, or does not."""
    when, interval = SLOW.get(alert, ("2h", "1m"))
    expected = [expected_alert(alert, dict(re.findall(r'(\w+)="([^"]*)"', CASES[alert][2])))] if fires else []
    test = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": when, "alertname": alert, "exp_alerts": expected}],
    }
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": interval, "tests": [test]}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def expected_alert(alert, labels):
    def render(text):
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)

    rule = ALERTS[alert]
    annotations = {name: render(text) for name, text in rule["annotations"].items()}
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}


@pytest.mark.parametrize("alert", ALERTS)
def test_alerts_ask_for_what_is_told(alert):
    assert not known_metrics.unknown_in(ALERTS[alert]["expr"])
    assert not known_metrics.wrongly_put_together(ALERTS[alert]["expr"])
    assert set(ALERTS[alert]["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize(
    "expression",
    [
        "max by (kind) (rate(distfile_mirror_downloads_total[5m]))",
        "sum by (kind) (distfile_mirror_queue_due)",
        "max(distfile_mirror_downloads_active)",
    ],
)
def test_what_is_wrongly_put_together_would_be_found(expression):
    assert len(known_metrics.wrongly_put_together(expression)) == 1


def test_an_unknown_metric_would_be_found():
    assert known_metrics.unknown_in("rate(distfile_mirror_nonsense_total[5m]) + up") == {
        "distfile_mirror_nonsense_total"
    }
