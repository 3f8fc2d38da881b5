"""What a person types about container images, and what comes back: words, JSON and exit status."""

import json
import shlex
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
import typer
from django.db import connection
from typer.testing import CliRunner

from distfile_mirror.catalog import image_queue
from distfile_mirror.catalog.leases import Failed, Progress
from distfile_mirror.catalog.models import Image
from distfile_mirror.cli import image_commands
from tests.unit.admin.registries import resolve_tag
from tests.unit.catalog.files import LEASE, OWNER
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    INDEX,
    amd64_child,
    arrived,
    blocked,
    declare,
    digest_of,
    failed,
    fresh,
    present,
)

USE = ("--project", "firmware", "--reason", "base of the build")
NAME = "registry.test/team/tool"
REFERENCE = f"{NAME}@{digest_of(AMD64)}"
INDEX_REFERENCE = f"{NAME}@{digest_of(INDEX)}"


@pytest.fixture
def run(server, settings):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, resolve_tag=resolve_tag)
    app = typer.Typer(pretty_exceptions_enable=False)
    image_commands.register(app)

    def run(*words, env=None):
        environment = {"DISTFILE_MIRROR_SERVER": server, "COLUMNS": "200", **(env or {})}
        return CliRunner(env=environment).invoke(app, [str(word) for word in words])

    return run


@contextmanager
def downloads(outcome_of):
    """Play the downloader: whatever becomes due is recorded as ``outcome_of`` says."""
    stop = threading.Event()

    def work():
        try:
            while not stop.wait(0.02):
                for claim in image_queue.claim(OWNER, limit=10, lease=LEASE):
                    image_queue.report(OWNER, {claim.row_id: Progress(5, 19)}, lease=LEASE)
                    image_queue.record(OWNER, [outcome_of(claim)])
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def arrives(claim):
    is_index = claim.digest == digest_of(INDEX)
    return arrived(claim.row_id, INDEX if is_index else AMD64, amd64_child() if is_index else ())


def fails(claim):
    return Failed(claim.row_id, "404 Not Found: it is not there", None)


def test_add_declares_all_that_is_given(run):
    result = run(
        "add-image",
        f"{NAME}:1.2@{digest_of(AMD64)}",
        INDEX_REFERENCE,
        *USE,
        "--licence",
        "mit",
        "--platform",
        "linux/arm64/v8",
        "--platform",
        "linux/amd64",
        "--with-referrers",
    )
    assert result.exit_code == 0, result.output
    one, two = Image.objects.order_by("pk")
    assert result.stdout == f"{REFERENCE} is pending (image {one.pk})\n{INDEX_REFERENCE} is pending (image {two.pk})\n"
    assert (one.tag, one.platforms, one.with_referrers) == ("1.2", ["linux/arm64", "linux/amd64"], True)
    assert one.uses.get().licence == "MIT"


def test_add_takes_the_parts_apart(run):
    parts = ("--registry", "https://Registry.test/v2/", "--repository", "team/tool", "--digest", digest_of(AMD64))
    result = run("add-image", *parts, *USE, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["reference"] == REFERENCE
    assert document["chosen_platforms"] == ["linux/amd64"], "the server's default"


def test_a_tag_alone_is_wrong_usage_and_the_right_command_is_shown(run):
    options = (*USE, "--platform", "linux/arm64", "--wait", "--timeout", "2.5", "--token", "secret")
    result = run("add-image", REFERENCE, f"{NAME}:1.2", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not Image.objects.exists(), "nothing of a wrong command is done"
    assert "a tag moves" in result.stderr
    assert "secret" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "to declare what it has now: " in line]
    words = shlex.split(line.partition("now: ")[2])
    shown = ("distfile-mirror", "add-image", f"{NAME}:1.2@{digest_of(INDEX)}")
    given = [*USE, "--platform", "linux/arm64", "--wait", "--timeout", "2.5"]
    assert words[:3] == list(shown)
    assert sorted(words[3:]) == sorted(given)
    with downloads(arrives):
        assert run(*words[1:]).exit_code == 0


def test_a_tag_that_cannot_be_resolved_is_wrong_usage_too(run):
    result = run("add-image", "away.test/a:1", *USE, "--json")
    assert result.exit_code == 2
    assert "away.test does not answer" in result.stderr
    assert "to declare what it has now" not in result.stderr
    assert json.loads(result.stdout)["error"]["resolved"] is None


def test_a_tag_is_resolved_if_that_is_asked_for(run):
    result = run("add-image", f"{NAME}:1.2", *USE, "--resolve", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["reference"] == INDEX_REFERENCE
    assert document["evidence"][0]["tag"] == "1.2"
    result = run("add-image", "away.test/a:1", *USE, "--resolve")
    assert result.exit_code == 1
    assert result.stderr == "error: away.test/a:1: away.test does not answer\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add-image", *USE], "name an image"),
        (["add-image", REFERENCE], "--project"),
        (["add-image", REFERENCE, "--project", "x"], "--reason"),
        (["add-image", REFERENCE, "--project", " ", "--reason", "x"], "--project"),
        (["add-image", REFERENCE, *USE, "--platform", "linux"], "--platform"),
        (["add-image", REFERENCE, *USE, "--digest", "x"], "not both"),
        (["add-image", "--registry", "a.test", "--digest", "x", *USE], "--repository"),
        (["list-images", "--state", "lost"], "--state"),
        (["choose-platforms", "1"], "--platform"),
        (["choose-platforms", "1", "--platform", "none,all"], "--platform"),
        (["block-image", "1"], "--reason"),
        (["show-image"], "ID|REFERENCE"),
        (["wait-image"], "ID|REFERENCE"),
    ],
)
def test_wrong_usage_is_status_2_and_names_the_flag(run, words, said):
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""
    assert not Image.objects.exists()


def test_what_the_server_refuses_is_named_as_the_flag(run):
    result = run("add-image", "A b", REFERENCE, *USE, "--licence", "MTI", "--json")
    assert result.exit_code == 1
    assert "error: A b: REFERENCE: " in result.stderr
    assert f"error: {REFERENCE}: --licence: MTI" in result.stderr
    assert [each["error"]["status"] for each in json.loads(result.stdout)] == [422, 422]


def test_waiting_ends_in_a_sentence(run):
    with downloads(arrives):
        result = run("add-image", REFERENCE, INDEX_REFERENCE, *USE, "--wait")
    assert result.exit_code == 0, result.output
    assert f"{REFERENCE} is present: " in result.stdout
    result = run("wait-image", REFERENCE, digest_of(INDEX), "--json")
    assert [image["state"] for image in json.loads(result.stdout)] == ["present", "present"]


def test_waiting_for_what_fails_says_why_and_what_to_do(run):
    with downloads(fails):
        result = run("add-image", REFERENCE, *USE, "--wait")
    assert result.exit_code == 1
    assert "failed: 404 Not Found: it is not there" in result.stdout
    assert f"distfile-mirror retry-image {Image.objects.get().pk}\n" in result.stdout
    assert "amend" not in result.stdout
    result = run("wait-image", REFERENCE, "--timeout", "0.1")
    assert result.exit_code == 1


def test_the_list_is_filtered(run):
    failed(repository="team/one", project="toolchain")
    present(repository="team/two")
    declare(registry="docker.io", repository="debian")
    lines = [line.split("\t")[1:] for line in run("list-images").stdout.splitlines()]
    digest = digest_of(AMD64)
    size = str(Image.objects.get(state="present").size)
    assert lines == [
        ["pending", "", f"docker.io/library/debian@{digest}"],
        ["present", size, f"registry.test/team/two@{digest}"],
        ["failed", "", f"registry.test/team/one@{digest}"],
    ]
    for words in (("--state", "failed"), ("--project", "toolchain"), ("--repository", "team/one"), ("--q", "EAM/one")):
        assert run("list-images", *words).stdout.split("\t")[1] == "failed"
    assert "debian" in run("list-images", "--registry", "index.docker.io").stdout
    limited = run("list-images", "--limit", "2")
    assert limited.stdout.count("\n") == 2
    assert "--all" in limited.stderr
    assert len(json.loads(run("list-images", "--all", "--limit", "1", "--json").stdout)) == 3


def test_show_tells_layers_or_platforms_by_number_reference_or_digest(run):
    image, index = present(licence="MIT"), present(INDEX)
    by_number = run("show-image", image.pk).stdout
    assert by_number == run("show-image", f"{NAME}:any@{digest_of(AMD64)}").stdout
    assert by_number == run("show-image", digest_of(AMD64)).stdout
    for part in (REFERENCE, "present", "firmware", "MIT", "alice", "9 B", digest_of(b"layer two"), "tar+gzip"):
        assert part in by_number
    assert by_number.count(digest_of(b"layer one")) == 2
    shown = run("show-image", index.pk).stdout
    for part in ("linux/amd64", "linux/arm64", "not chosen", "attestation of linux/amd64", digest_of(ARM64)):
        assert part in shown
    assert json.loads(run("show-image", INDEX_REFERENCE, "--json").stdout)["platforms"][1]["state"] == "not chosen"


def test_images_of_one_digest_are_told_apart_by_their_repository(run):
    one, two = present(repository="team/one"), present(repository="team/two")
    for image in (one, two):
        assert json.loads(run("show-image", str(image), "--json").stdout)["id"] == image.pk


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show-image", "99"), "99"),
        (("show-image", REFERENCE), "not declared"),
        (("show-image", f"{NAME}:1.2"), "by its digest"),
        (("show-image", "A b"), "A b"),
        (("wait-image", "99"), "99"),
        (("retry-image", "99"), "99"),
        (("choose-platforms", "99", "--platform", "all"), "99"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(run, words, said):
    result = run(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_choosing_can_wait(run):
    image = present(INDEX)
    with downloads(arrives):
        result = run("choose-platforms", image.pk, "--platform", "all", "--wait")
    assert result.exit_code == 0, result.output
    assert f"{INDEX_REFERENCE} is present" in result.stdout


def test_a_digest_that_several_repositories_have_is_no_name(run):
    one, two = declare(repository="team/one").image, declare(repository="team/two").image
    result = run("block-image", digest_of(AMD64), "--reason", "malicious")
    assert result.exit_code == 1
    for image in (one, two):
        assert f"{image} ({image.pk})" in result.stderr


def test_choose_retry_block_unblock(run):
    image = present(INDEX)
    assert "is pending" in run("choose-platforms", image.pk, "--platform", "linux/arm64").stdout
    assert fresh(image).platforms == ["linux/amd64", "linux/arm64"]
    refused = run("choose-platforms", image.pk, "--platform", "linux/s390x")
    assert (refused.exit_code, refused.stderr.count("it has: linux/amd64, linux/arm64")) == (1, 1)
    image = failed()
    assert "is pending" in run("retry-image", REFERENCE).stdout
    assert run("retry-image", image.pk).exit_code == 1
    image = blocked(ARM64)
    assert "is present" in run("unblock-image", image.pk).stdout
    assert "is blocked: malicious" in run("block-image", image.pk, "--reason", "malicious").stdout
    assert fresh(image).message == "malicious"


def test_the_commands_start_without_django():
    code = "import sys, distfile_mirror.cli.image_commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = ("django", "pydantic", "license_expression", "distfile_mirror.admin", "distfile_mirror.catalog")
    assert [name for name in done.stdout.split() if name.startswith(heavy)] == []
