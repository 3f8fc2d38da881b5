"""Misses, projects, exports and changes from a terminal: words, JSON, files and exit status."""

import json

import pytest
import typer
from typer.testing import CliRunner

from distfile_mirror.catalog.models import File, Miss, Project
from distfile_mirror.cli import miss_commands, project_commands
from distfile_mirror.model.misses import MissReason
from tests.unit.catalog.files import URI, declare, present
from tests.unit.catalog.seen import missed

USE = ("--project", "firmware", "--reason", "asked for by the build")
OTHER = "https://other.test/b"


@pytest.fixture
def run(server):
    app = typer.Typer(pretty_exceptions_enable=False)
    miss_commands.register(app)
    project_commands.register(app)

    def run(*words, env=None):
        environment = {"DISTFILE_MIRROR_SERVER": server, "COLUMNS": "200", **(env or {})}
        return CliRunner(env=environment).invoke(app, [str(word) for word in words])

    return run


def test_misses_are_listed_for_pipes_and_programs(run):
    one, two = missed(URI, at=100, count=3), missed(OTHER, at=200, label="toolchain", reason=MissReason.GIT)
    result = run("misses")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{two.pk}\t1\t1970-01-01T00:03:20Z\tgit\t{OTHER}",
        f"{one.pk}\t3\t1970-01-01T00:01:40Z\tnot declared\t{URI}",
    ]
    for options in (
        ("--label", "toolchain"),
        ("--since", "1970-01-01T00:02:00Z"),
        ("--reason", "git"),
        ("--q", "OTHER"),
    ):
        (found,) = json.loads(run("misses", *options, "--json").stdout)
        assert found["id"] == two.pk
    assert run("misses", "--dismissed").stdout == ""
    result = run("misses", "--limit", "1")
    assert result.stdout.count("\n") == 1
    assert "the newest 1; --all or --limit shows more" in result.stderr


def test_a_time_that_is_none_is_told_by_its_flag(run):
    result = run("misses", "--since", "yesterday")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: --since: 'yesterday' is not a time")


def test_misses_are_declared_by_number_and_refusals_are_told(run):
    one, two = missed(URI), missed(OTHER, reason=MissReason.GIT)
    result = run("declare-misses", one.pk, two.pk, 99, *USE, "--licence", "mit")
    assert result.exit_code == 1
    file = File.objects.get()
    assert result.stdout == f"{URI} is declared (file {file.pk})\n"
    assert f"error: {OTHER}: {OTHER} was asked for by git's conversation" in result.stderr
    assert "there is no miss 99" in result.stderr
    assert file.uses.get().licence == "MIT"


def test_all_that_a_label_missed_is_declared(run):
    missed(URI), missed(OTHER), missed("https://other.test/c", label="toolchain")
    result = run("declare-misses", "--label", "firmware", *USE, "--json")
    assert result.exit_code == 0, result.output
    assert {each["name"] for each in json.loads(result.stdout)} == {URI, OTHER}
    assert File.objects.count() == 2
    assert Miss.objects.filter(reason="pending").count() == 2
    result = run("declare-misses", "--label", "nobody", *USE)
    assert result.exit_code == 1
    assert "builds with the label nobody asked for nothing in vain" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("declare-misses", *USE),
        ("declare-misses", "0", *USE),
        ("declare-misses", "x", *USE),
        ("declare-misses", "1", "--project", " ", "--reason", "x"),
        ("declare-misses", "1", "--project", "x"),
        ("misses", "--reason", "lost"),
        ("export", "firmware", "--format", "xml"),
        ("projects", "--limit", "0"),
    ],
)
def test_wrong_usage_is_found_before_anything_is_done(run, words):
    assert run(*words).exit_code == 2


def test_wrong_fields_are_told_by_their_flags(run):
    result = run("declare-misses", missed(URI).pk, *USE, "--licence", "MTI")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: --licence: ")
    assert not File.objects.exists()


def test_projects_are_listed(run):
    present(licence="MIT")
    declare("https://example.org/b", project="compiler")
    assert [line.split("\t")[1:] for line in run("projects").stdout.splitlines()] == [
        ["1", "0", "0 B", "1", "compiler"],
        ["1", "0", "19 B", "0", "firmware"],
    ]
    (project,) = json.loads(run("projects", "--q", "FIRM", "--json").stdout)
    assert project["stored_bytes"] == 19


def test_a_project_is_exported(run, tmp_path):
    present(licence="MIT")
    Project.objects.create(name="12")
    number = Project.objects.get(name="firmware").pk
    table = run("export", "firmware").stdout
    assert table.splitlines()[0].startswith("kind,name,state,digest")
    assert URI in table
    target = tmp_path / "sbom.json"
    target.write_text("what was there")
    assert run("export", number, "--format", "cyclonedx", "--output", target).stdout == ""
    assert json.loads(target.read_bytes())["specVersion"] == "1.6"
    assert run("export", "12").exit_code == 0, "a name goes before a number"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("which", ["nothing", "99"])
def test_a_project_that_is_not_there_changes_no_file(run, tmp_path, which):
    target = tmp_path / "table.csv"
    target.write_text("what was there")
    result = run("export", which, "--output", target)
    assert result.exit_code == 1
    assert f"there is no project {which}" in result.stderr
    assert target.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [target]


def test_changes_are_listed(run):
    declare(actor="bob")
    line = run("audit").stdout.splitlines()[-1].split("\t")
    assert line[1:] == ["bob", "declared", "file", URI]
    assert json.loads(run("audit", "--actor", "nobody", "--json").stdout) == []
    (event, *_) = json.loads(run("audit", "--kind", "file", "--action", "declared", "--json").stdout)
    assert event["actor"] == "bob"


def test_a_server_that_is_away_is_told(run):
    for words in (("misses",), ("export", "firmware"), ("audit",)):
        result = run(*words, env={"DISTFILE_MIRROR_SERVER": "http://127.0.0.1:1"})
        assert result.exit_code == 1
        assert "cannot reach the server" in result.stderr
