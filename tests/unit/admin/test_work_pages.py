"""The pages of work: home, missing, projects, audit, set up, and changing several files at once."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from distfile_mirror.admin.charts import Series, bar_chart, line_chart
from distfile_mirror.admin.fetch_commands import FileFacts, fetch_commands
from distfile_mirror.catalog.models import AuditEvent, File, Image, Miss, Project
from distfile_mirror.catalog.seen import Artifact, ArtifactKind, MissKey, Seen, Sightings
from distfile_mirror.catalog.sightings import write_sightings
from distfile_mirror.model.misses import MissReason
from tests.unit.admin import people
from tests.unit.catalog import files, images

pytestmark = pytest.mark.django_db
URI = "https://example.org/wanted-1.0.tar.gz"
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"


def text(response, status=200):
    assert response.status_code == status
    return response.content.decode()


def missed(name=URI, *, reason=MissReason.NOT_DECLARED, kind=ArtifactKind.FILE, label="nightly", count=3, ago=0):
    at = (timezone.now() - timedelta(hours=ago)).timestamp()
    key = MissKey(kind, name, reason, label, "10.0.0.9")
    write_sightings(Sightings([], [(key, Seen(count, at, at))]))
    return Miss.objects.get(name=name)


def use(**given):
    return {"project": "firmware", "reason": "because", "licence": "MIT", **given}


def test_home_says_what_to_do_and_then_what_there_is(client):
    assert "Nothing has been fetched yet" in text(client.get("/"))
    files.present("https://example.org/a")
    failed = files.failed("https://example.org/b", message="404 Not Found")
    files.fetching("https://example.org/c")
    missed()
    page = text(client.get("/"))
    retry = f"/files/{failed.pk}/retry"
    for part in ("Being fetched", "404 Not Found", retry, "wanted-1.0.tar.gz", "<svg", "Stored, by day"):
        assert part in page
    assert client.get("/?q=foo")["Location"] == "/files?q=foo"


def test_misses_are_filtered_by_label_time_and_reason(client):
    missed()
    missed("https://example.org/old", ago=30, label="weekly")
    missed("docker.io/library/debian:12", reason=MissReason.BY_TAG, kind=ArtifactKind.IMAGE, label="weekly")
    everything = text(client.get("/misses"))
    assert everything.count('name="miss"') == 3
    for query, count in (("label=weekly", 2), ("period=day", 2), ("reason=by+tag", 1), ("q=WANTED", 1)):
        assert text(client.get(f"/misses?{query}")).count('name="miss"') == count, query
    assert text(client.get("/misses?client=10.0.0.1")).count('name="miss"') == 0
    assert "is not a time" in text(client.get("/misses?since=yesterday"), 422)


def test_ticked_misses_are_declared_at_once(client):
    keys = [missed().pk, missed("https://example.org/two").pk]
    git = missed("https://example.org/r.git/info/refs?service=git-upload-pack", reason=MissReason.GIT).pk
    page = text(client.post("/misses/change", use(action="declare", miss=[*keys, git])))
    assert "2 declared" in page
    assert "cannot be mirrored as a file" in page
    assert set(File.objects.values_list("uri", flat=True)) == {URI, "https://example.org/two"}
    assert Miss.objects.get(pk=keys[0]).reason == "pending"


def test_mistakes_of_ticked_misses_lose_nothing(client):
    key = missed().pk
    page = text(client.post("/misses/change", use(action="declare", miss=key, licence="No Such", reason="")), 422)
    assert re.search(rf'value="{key}"[^>]* checked', page)
    assert 'value="No Such"' in page
    assert "nothing is ticked" in text(client.post("/misses/change", use(action="declare")), 422)
    assert not File.objects.exists()


def test_an_image_asked_for_by_digest_is_declared(client):
    name = f"registry.test/team/tool@{images.digest_of(images.AMD64)}"
    key = missed(name, kind=ArtifactKind.IMAGE).pk
    assert "1 declared" in text(client.post("/misses/change", use(action="declare", miss=key)))
    assert str(Image.objects.get()) == name


def test_dismissed_and_put_back(client):
    key = missed().pk
    client.post("/misses/change", {"action": "dismiss", "miss": key})
    assert "Nothing was asked for in vain" in text(client.get("/misses"))
    assert text(client.get("/misses?dismissed=yes")).count('name="miss"') == 1
    client.post("/misses/change?dismissed=yes", {"action": "restore", "miss": key})
    assert text(client.get("/misses")).count('name="miss"') == 1
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {"dismissed", "restored"}


def test_projects_and_reports(client):
    file = files.present("https://example.org/a", licence="MIT")
    other = f"/files/{files.present('https://example.org/b').pk}"
    at = timezone.now().timestamp()
    write_sightings(Sightings([(Artifact(ArtifactKind.FILE, file.pk), "website", Seen(1, at, at))], []))
    assert "firmware" in text(client.get("/projects"))
    assert "called like that" in text(client.get("/projects?q=nothing"))
    page = text(client.get(f"/projects/{Project.objects.get().pk}"))
    for part in ("MIT", "unknown", "artifacts.csv", "sbom.cdx.json", "never", "now"):
        assert part in page
    assert other in text(client.get("/projects/unknown-licences"))
    File.objects.update(created_at=timezone.now() - timedelta(days=10))
    assert other in text(client.get("/projects/unused?days=5"))
    assert other not in text(client.get("/projects/unused?days=50"))
    assert text(client.get("/projects/unused?days=x&kind=image"))
    assert "Declare its use" in text(client.get("/projects/undeclared"))
    assert client.get("/projects/999999").status_code == 404


def test_exports(client):
    files.present("https://example.org/a", licence="MIT")
    project = f"/projects/{Project.objects.get().pk}"
    answer = client.get(f"{project}/artifacts.csv")
    assert answer["Content-Type"].startswith("text/csv")
    assert b"https://example.org/a" in b"".join(answer.streaming_content)
    assert client.get(f"{project}/sbom.cdx.json").json()["bomFormat"] == "CycloneDX"
    assert b"declared" in b"".join(client.get("/audit.csv").streaming_content)


def test_audit_is_filtered(client):
    files.present("https://example.org/a", actor="alice")
    images.declare(actor="bob")
    assert "alice" in text(client.get("/audit"))
    page = text(client.get("/audit?actor=bob"))
    assert "registry.test" in page
    assert "example.org/a" not in page
    assert "No change is like that" in text(client.get("/audit?action=nothing"))
    assert 'value="2026-01-31T23:30:00+00:00"' in text(client.get("/audit?since=2026-01-31T23:30:00Z"))


def test_several_files_at_once(client):
    first, second = files.failed("https://example.org/a"), files.failed("https://example.org/b")
    present = files.present("https://example.org/c")
    client.post("/files/change", {"action": "retry", "file": [first.pk, second.pk]})
    assert set(File.objects.values_list("state", flat=True)) == {"pending", "present"}
    page = text(client.post("/files/change", {"action": "retry", "file": [present.pk]}), 422)
    assert "only what has failed" in page
    assert re.search(rf'value="{present.pk}"[^>]* checked', page)
    assert "say why" in text(client.post("/files/change", {"action": "block", "file": [present.pk]}), 422)
    client.post("/files/change", {"action": "block", "file": [present.pk], "reason": "malicious"})
    assert files.fresh(present).state == "blocked"
    assert "Nothing is ticked" in text(client.post("/files/change", {"action": "retry"}), 422)


def test_set_up_has_lines_for_every_client(client):
    page = text(client.get("/setup"))
    for name in ("curl", "wget", "Bazel", "Buildroot", "pip", "npm", "git", "apt", "cargo", "Go", "Java", "Node"):
        assert f"{name} <span" in page, name
    for name in ("Nix", "Docker", "containerd", "podman"):
        assert name in page
    assert "http://firmware@127.0.0.1:3128" in page
    assert client.get("/ca.pem").status_code == 404


def test_the_theme_is_a_cookie(client):
    answer = client.post("/theme", {"theme": "dark", "next": "/files?q=x"})
    assert answer["Location"] == "/files?q=x"
    assert 'data-theme="dark"' in text(client.get("/files"))
    assert client.post("/theme", {"theme": "pink", "next": "https://example.com/"})["Location"] == "/"


def test_hostile_names_are_inert(client):
    missed(f"https://example.org/{HOSTILE}", label=HOSTILE)
    files.declare("https://example.org/a", project=HOSTILE, reason=HOSTILE, actor=HOSTILE)
    project = f"/projects/{Project.objects.get().pk}"
    for path in ("/", "/misses", "/projects", project, "/projects/unknown-licences", "/audit", "/files"):
        assert not re.search(r"<script(?! src=\"/static/)|<img|javascript:", text(client.get(path))), path


def test_a_viewer_sees_and_changes_nothing(settings):
    files.failed("https://example.org/a")
    missed()
    people.with_sign_in(settings)
    people.person("vera", "viewer")
    viewer = people.browser("vera")
    for path in ("/", "/files", "/misses"):
        page = text(viewer.get(path))
        assert 'type="checkbox"' not in page
        assert "/files/declare" not in page
    assert viewer.post("/misses/change", {"action": "dismiss", "miss": 1}).status_code == 403


def test_charts():
    line = line_chart("Stored", ["a", "b", "c"], [Series("bytes", "present", [0, 5, 10])])
    assert '<polyline class="line present" points="56.0,156.0 304.0,' in line
    assert 'aria-label="Stored: bytes: 10 last"' in line
    bars = bar_chart("Requests", ["a", "b"], [Series("<served>", "present", [1, 2]), Series("x", "failed", [0, 3])])
    assert bars.count("<rect") == 3
    assert "&lt;served&gt;" in bars
    assert line_chart("Empty", [], [Series("none", "present", [])])


@pytest.mark.parametrize(
    ("uri", "sha256", "titles"),
    [
        ("https://example.org/foo-1.2.tar.gz", "ab" * 32, ["curl", "wget", "Check", "Bazel", "Buildroot"]),
        ("http://example.org/", "ab" * 32, ["curl", "wget"]),
        ("https://example.org/foo", "", ["curl", "wget"]),
    ],
)
def test_commands(tmp_path, uri, sha256, titles):
    commands = fetch_commands(FileFacts(uri, sha256, "http://127.0.0.1:3128", tmp_path / "ca.pem"))
    assert [title.partition(",")[0].partition(" ")[0] for title, _line in commands] == titles


def test_what_is_pasted_quotes_what_others_wrote(tmp_path):
    facts = FileFacts('https://example.org/$(id)"x;y', "ab" * 32, "http://127.0.0.1:3128", tmp_path / "ca.pem")
    commands = dict(fetch_commands(facts))
    assert "'https://example.org/$(id)\"x;y'" in commands["curl"]
    assert 'urls = ["https://example.org/$(id)\\"x;y"]' in commands["Bazel"]
