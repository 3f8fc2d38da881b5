"""Users from the command line, on a database of their own: the program as it is."""

import os
import sqlite3
import subprocess
import sys

import pytest

PASSWORD = "a long and quiet river"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTFILE_MIRROR_")}
    environment |= {"DISTFILE_MIRROR_DATA_DIR": str(folder), "DISTFILE_MIRROR_LOCAL_USER": "me"}

    def run(*words, stdin=""):
        command = [sys.executable, "-W", "error", "-m", "distfile_mirror", *words]
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)

    run.database = folder / "catalog.sqlite3"
    refused = run("users", "list")
    assert refused.returncode == 1
    assert "migrate" in refused.stderr
    done = run("migrate")
    assert done.returncode == 0, done.stderr
    return run


def test_the_first_administrator_and_what_becomes_of_them(program):
    done = program("users", "add", "Root", "--role", "administrator", stdin=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout) == (0, "Root is administrator\n"), done.stderr
    assert "sign_in" in done.stderr
    assert program("users", "add", "bob", "--role", "viewer", stdin=PASSWORD).returncode == 0
    assert program("users", "set-role", "bob", "--role", "approver").stdout == "bob is approver\n"
    assert program("users", "disable", "bob").stdout == "bob is disabled\n"
    lines = "bob\tapprover\taccounts\tdisabled\nroot\tadministrator\taccounts\tenabled\n"
    assert program("users", "list").stdout == lines
    assert program("users", "enable", "bob").returncode == 0
    assert program("users", "reset-password", "bob", stdin="another long and quiet river").returncode == 0
    with sqlite3.connect(program.database) as database:
        rows = database.execute("SELECT actor, action, subject FROM catalog_auditevent ORDER BY id").fetchall()
    assert {actor for actor, *_ in rows} == {"me (command line)"}
    assert [row[1:] for row in rows] == [
        ("added", "root"),
        ("added", "bob"),
        ("role given", "bob"),
        ("disabled", "bob"),
        ("enabled", "bob"),
        ("password set", "bob"),
    ]


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("add", "a b", "--role", "viewer"), PASSWORD, "name: a name has letters"),
        (("add", "new", "--role", "viewer"), "short", "too short"),
        (("add", "new", "--role", "viewer"), "", "password"),
        (("set-role", "nobody", "--role", "viewer"), "", "there is no user nobody"),
        (("disable", "nobody"), "", "there is no user nobody"),
    ],
)
def test_what_cannot_be_is_explained(program, words, stdin, told):
    done = program("users", *words, stdin=stdin)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_role_that_is_none(program):
    assert program("users", "add", "new", "--role", "boss", stdin=PASSWORD).returncode == 2
