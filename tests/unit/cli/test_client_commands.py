"""What a person types, and what comes back: words, JSON and exit status."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from distfile_mirror.catalog.models import File, Use
from tests.unit.catalog.files import MD5, OTHER_SHA256, SHA256, URI, blocked, declare, failed, fresh, present
from tests.unit.cli.conftest import arrives, downloads, fails, is_slow

USE = ("--project", "firmware", "--reason", "build dependency of the bootloader")
CHECKSUM = f"sha256:{SHA256}"
HOSTILE = "x\x1b]0;title\x07\x1b[2J[red]"


def nothing_printed_is_a_traceback(result):
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output


def test_add_declares_all_that_is_given(run):
    result = run(
        "add",
        URI,
        *USE,
        "--licence",
        "mit",
        "--checksum",
        CHECKSUM,
        "--checksum",
        f"md5:{MD5}",
        "--fallback",
        "https://mirror.test/x",
    )
    assert result.exit_code == 0, result.output
    file = File.objects.get()
    assert result.stdout == f"{URI} is pending (file {file.pk})\n"
    assert result.stderr == ""
    assert file.expected == {"sha256": SHA256, "md5": MD5}
    assert file.fallback_uris == ["https://mirror.test/x"]
    assert file.uses.get().licence == "MIT"
    assert run("add", URI, *USE, "--license", "MIT").exit_code == 0
    assert Use.objects.count() == 1


def test_add_reads_lines_from_standard_input(run):
    lines = f"# comment\n\nhttps://example.org/a {CHECKSUM}  # why\n  https://example.org/b#fragment\r\nhttps://example.org/c"
    result = run("add", "-", "https://example.org/d", *USE, "--json", stdin=lines)
    assert result.exit_code == 0, result.output
    added = {file["uri"]: file["checksums"] for file in json.loads(result.stdout)}
    assert added == {
        "https://example.org/a": [CHECKSUM],
        "https://example.org/b": [],
        "https://example.org/c": [],
        "https://example.org/d": [],
    }


def test_one_wrong_uri_does_not_stop_the_others(run):
    present()
    result = run(
        "add",
        "-",
        *USE,
        "--json",
        stdin=f"nonsense\n{URI} sha256:{OTHER_SHA256}\nhttps://example.org/b x\nhttps://example.org/c\n",
    )
    assert result.exit_code == 1
    wrong, contradicting, weak, right = json.loads(result.stdout)
    assert wrong["error"]["errors"][0]["field"] == "uri"
    assert contradicting["error"]["status"] == 409
    assert weak["uri"] == "https://example.org/b"
    assert right["state"] == "pending"
    first, second, third = result.stderr.splitlines()
    assert first.startswith("error: nonsense: URI: ")
    assert SHA256 in second
    assert OTHER_SHA256 in second
    assert third.startswith("error: https://example.org/b: --checksum: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", URI], "--project"),
        (["add", URI, "--project", "x"], "--reason"),
        (["add", *USE], "URI"),
        (["add", "-", *USE], "no URI"),
        (["add", URI, "--project", " ", "--reason", "x"], "--project"),
        (["add", URI, URI + "x", *USE, "--checksum", CHECKSUM], "--checksum"),
        (["add", URI, URI + "x", *USE, "--fallback", URI], "--fallback"),
        (["add", URI, *USE, "--checksum", "sha256:abc"], "64"),
        (["add", URI, *USE, "--timeout", "soon"], "--timeout"),
        (["list", "--state", "lost"], "--state"),
        (["list", "--limit", "0"], "--limit"),
        (["show"], "ID|URI"),
        (["block", "1"], "--reason"),
        (["amend", "1"], "--checksum"),
        (["amend", "1", "--checksum", "x"], "checksum"),
        (["wait"], "ID|URI"),
        (["nonsense"], "nonsense"),
        (["list", "--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_status_2_and_names_the_flag(run, words, said):
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""
    assert not File.objects.exists()


def test_what_the_server_refuses_is_named_as_the_flag(run):
    result = run("add", "ftp://x", *USE, "--licence", "MTI")
    assert result.exit_code == 1
    assert "error: ftp://x: URI: 'ftp' is not supported" in result.stderr
    assert "error: ftp://x: --licence: MTI" in result.stderr


def test_waiting_ends_in_a_sentence(run):
    with downloads(arrives):
        result = run("add", URI, "https://example.org/b", *USE, "--wait")
    assert result.exit_code == 0, result.output
    assert f"{URI} is present: 19 B, sha256 {SHA256}\n" in result.stdout
    assert "https://example.org/b is present" in result.stdout


def test_waiting_for_what_fails_says_why_and_what_to_do(run):
    with downloads(fails):
        result = run("add", URI, *USE, "--wait")
    number = File.objects.get().pk
    assert result.exit_code == 1
    assert "failed: 404 Not Found: it is not there" in result.stdout
    assert f"distfile-mirror retry {number}" in result.stdout
    assert f"distfile-mirror amend {number}" in result.stdout


def test_waiting_prints_one_document(run):
    with downloads(arrives):
        result = run("add", URI, *USE, "--wait", "--json")
    assert json.loads(result.stdout)["state"] == "present"
    assert "is present" in result.stderr
    result = run("wait", URI, "--json")
    assert (result.exit_code, json.loads(result.stdout)["sha256"]) == (0, SHA256)
    failed("https://example.org/b")
    result = run("wait", URI, "https://example.org/b", "--json")
    assert result.exit_code == 1
    assert [file["state"] for file in json.loads(result.stdout)] == ["present", "failed"]


def test_waiting_no_longer_than_asked(run):
    with downloads(is_slow):
        began = time.monotonic()
        result = run("add", URI, *USE, "--wait", "--timeout", "0.5")
    assert result.exit_code == 1
    assert 0.4 < time.monotonic() - began < 5
    assert "pending: the connection was reset" in result.stdout
    assert "the download goes on" in result.stderr


def test_the_list_is_filtered(run):
    declare("https://example.org/a", project="toolchain")
    failed("https://example.org/b")
    present("https://example.org/c")
    lines = [line.split("\t") for line in run("list").stdout.splitlines()]
    assert [line[1:] for line in lines] == [
        ["present", "19", "https://example.org/c"],
        ["failed", "", "https://example.org/b"],
        ["fetching", "", "https://example.org/a"],
    ]
    assert "/b" in run("list", "--state", "failed").stdout
    assert run("list", "--project", "toolchain").stdout.count("\n") == 1
    assert run("list", "--q", "ORG/c").stdout.count("\n") == 1
    assert json.loads(run("list", "--q", "nothing", "--json").stdout) == []
    limited = run("list", "--limit", "2")
    assert limited.stdout.count("\n") == 2
    assert "--all" in limited.stderr
    assert len(json.loads(run("list", "--all", "--limit", "1", "--json").stdout)) == 3


def test_all_of_a_long_list_comes(run):
    for number in range(53):
        declare(f"https://example.org/{number}")
    assert run("list").stdout.count("\n") == 50
    assert run("list", "--all").stdout.count("\n") == 53


def test_show_tells_all_by_number_or_uri(run):
    file = blocked(checksums=[f"md5:{MD5}"], licence="MIT")
    by_number, by_uri = (
        run("show", file.pk),
        run("show", URI.upper().replace("/POOL/FOO-1.2.TAR.GZ", "/pool/foo-1.2.tar.gz")),
    )
    assert by_number.stdout == by_uri.stdout
    for part in (
        URI,
        "blocked",
        "known to be malicious",
        SHA256,
        "19 B",
        f"md5:{MD5}",
        "weak",
        "firmware",
        "MIT",
        "alice",
    ):
        assert part in by_number.stdout
    assert json.loads(run("show", URI, "--json").stdout)["id"] == file.pk


@pytest.mark.parametrize(
    "words",
    [
        ("show", "99"),
        ("show", "https://example.org/x"),
        ("wait", "99"),
        ("retry", "99"),
        ("block", "99", "--reason", "x"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(run, words):
    result = run(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_retry_block_unblock_amend(run):
    file = failed(checksums=[OTHER_SHA256])
    assert "is pending" in run("retry", URI).stdout
    again = run("retry", file.pk)
    assert (again.exit_code, again.stderr.count("only what has failed")) == (1, 1)
    assert json.loads(run("amend", URI, "--checksum", CHECKSUM, "--json").stdout)["checksums"] == [CHECKSUM]
    other = present("https://example.org/b")
    assert "is blocked: malicious" in run("block", other.pk, "--reason", "malicious").stdout
    assert fresh(other).state == "blocked"
    assert "is present" in run("unblock", "https://example.org/b").stdout
    assert run("unblock", other.pk).exit_code == 1
    assert run("block", other.pk, "--reason", " ").stderr.startswith("error: --reason: ")


def test_what_others_wrote_never_reaches_the_terminal_as_a_command(run):
    file = failed(message=HOSTILE, reason=HOSTILE, actor=HOSTILE)
    printed = run("show", file.pk).output + run("wait", file.pk).output + run("list").output
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "[red]" in printed


def test_flags_win_over_the_environment_and_a_proxy_is_never_asked(run, server):
    dead = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), dead)
    result = run(
        "list", "--server", server, "--token", "secret", "--json", env={**proxies, "DISTFILE_MIRROR_SERVER": dead}
    )
    assert (result.exit_code, result.stdout) == (0, "[]\n")


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9", "http://nowhere.invalid", "nonsense", "ftp://x", "http://[", "https://127.0.0.1:9"],
)
def test_a_server_that_cannot_be_reached_is_said_to_be_so(run, address):
    result = run("list", "--server", address)
    nothing_printed_is_a_traceback(result)
    assert result.exit_code == 1
    assert address in result.stderr
    assert "--server" in result.stderr


def test_a_server_that_is_another_one_is_said_to_be_so(run, server):
    for address in (server + "/nowhere", server + "/health?"):
        result = run("list", "--server", address)
        nothing_printed_is_a_traceback(result)
        assert result.exit_code == 1
        assert "--server" in result.stderr


def program(server, *words, **arguments):
    code = "import typer; from distfile_mirror.cli import client_commands as c; a = typer.Typer(); c.register(a); a()"
    environment = {**os.environ, "DISTFILE_MIRROR_SERVER": server}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, text=True, **arguments)


def test_interrupting_a_wait_says_that_the_download_goes_on(server):
    with program(server, "add", URI, *USE, "--wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert "is pending" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert out == ""
    assert "the download goes on" in err
    assert f"distfile-mirror wait {File.objects.get().pk}" in err
    assert "Traceback" not in err


def test_a_terminal_gets_a_bar_and_a_sentence(server):
    ours, theirs = os.openpty()
    words = ("add", URI, *USE, "--wait")
    with downloads(arrives), program(server, *words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        printed = b""
        with contextlib.suppress(OSError):  # Linux says EIO where the other side has gone
            while chunk := os.read(ours, 4096):
                printed += chunk
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in printed
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r", b"", printed)
    assert f"is present: 19 B, sha256 {SHA256}".encode() in plain


def test_the_client_starts_without_django():
    code = "import sys, distfile_mirror.cli.client_commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = ("django", "pydantic", "license_expression", "distfile_mirror.admin", "distfile_mirror.catalog")
    assert [name for name in done.stdout.split() if name.startswith(heavy)] == []
