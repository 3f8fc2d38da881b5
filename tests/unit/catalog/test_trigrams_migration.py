"""What search has on SQLite: made, filled, kept right, taken away; on a database of its own."""

from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from distfile_mirror.catalog import copying
from distfile_mirror.catalog.copying import TARGET
from distfile_mirror.catalog.database_urls import database_settings
from distfile_mirror.catalog.models import File
from tests.unit.catalog.files import declare, present

BEFORE, THIS = "0005_last_requests", "0006_trigrams_on_sqlite"
migration = import_module(f"distfile_mirror.catalog.migrations.{THIS}")


@pytest.fixture
def target(tmp_path, django_db_blocker):
    """A connection to an empty file. The mark django_db would forbid it, which knows those of the settings alone."""
    own = database_settings(f"sqlite:///{tmp_path}/target.sqlite3")
    connections.databases[TARGET] = {**connections.databases["default"], **own}
    with django_db_blocker.unblock():
        yield connections[TARGET]
    connections[TARGET].close()
    del connections[TARGET]
    del connections.databases[TARGET]


def migrate_to(name):
    call_command("migrate", "catalog", name, database=TARGET, verbosity=0)


def ask(target, statement, *values):
    with target.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def add(target, *names):
    keys = []
    for name in names:
        with transaction.atomic(using=TARGET):
            keys.append(File.objects.using(TARGET).create(uri=name, uri_key=name.encode(), host="h").pk)
    return keys


def indexed(target, trigram):
    matches = "SELECT rowid FROM catalog_fileuri_trigrams WHERE catalog_fileuri_trigrams MATCH %s ORDER BY rowid"
    return [key for (key,) in ask(target, matches, f'"{trigram}"')]


def assert_whole(target):
    """Compare the index with the table, and that with the files; FTS5 itself does the former."""
    check = "INSERT INTO catalog_fileuri_trigrams (catalog_fileuri_trigrams, rank) VALUES ('integrity-check', 1)"
    ask(target, check)
    uris = ask(target, "SELECT file_id, uri FROM catalog_fileuri ORDER BY file_id")
    assert uris == ask(target, "SELECT id, uri FROM catalog_file ORDER BY id")


def names(target):
    found = ask(target, "SELECT name FROM sqlite_master WHERE name LIKE 'catalog_fileuri%%' OR name = 'file_uri'")
    return {name for (name,) in found}


def test_what_is_there_is_filled_in_and_what_comes_is_added(target, monkeypatch):
    monkeypatch.setattr(migration, "ROWS_AT_ONCE", 2)
    migrate_to(BEFORE)
    first = add(target, "abcd", "xabc", "bcde", "ABC", "zzz")
    ask(target, "UPDATE catalog_file SET id = id + 7 WHERE uri = 'zzz'")  # a gap
    migrate_to(THIS)
    later = add(target, "later abc")
    assert indexed(target, "abc") == [first[0], first[1], first[3], *later]
    assert indexed(target, "zzz") == [first[4] + 7]
    assert_whole(target)
    assert "file_uri" not in names(target)


def test_interrupted_it_goes_on(target, monkeypatch):
    migrate_to(BEFORE)
    add(target, "abcd", "xabc", "bcde")
    monkeypatch.setattr(migration, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(migration, "FILL", migration.FILL.replace("id >= %s", "id >= %s AND until_three(id) = 0"))
    target.connect()
    target.connection.create_function("until_three", 1, lambda key: 0 // (key < 3))
    with pytest.raises(Exception, match="user-defined function"):
        migrate_to(THIS)
    assert ask(target, "SELECT count(*) FROM catalog_fileuri") == [(2,)]
    add(target, "abc, meanwhile")
    monkeypatch.undo()
    migrate_to(THIS)
    assert indexed(target, "abc") == [1, 2, 4]
    assert_whole(target)


def test_it_goes_back_and_comes_again(target):
    migrate_to(THIS)
    add(target, "abcd")
    migrate_to(BEFORE)
    assert names(target) == {"file_uri"}
    add(target, "xabc")
    migrate_to(THIS)
    assert indexed(target, "abc") == [1, 2]
    assert_whole(target)


def test_what_somebody_deletes_is_no_longer_found(target):
    migrate_to(THIS)
    add(target, "abcd", "xabc")
    ask(target, "DELETE FROM catalog_file WHERE id = 1")
    assert indexed(target, "abc") == [2]
    assert_whole(target)


def test_where_sqlite_has_no_trigrams_all_stays_as_it_was(target, monkeypatch):
    monkeypatch.setattr(migration, "TOKENIZER", "of_a_later_release")
    migrate_to(THIS)
    add(target, "abcd")
    assert names(target) == {"file_uri"}
    migrate_to(BEFORE)
    assert names(target) == {"file_uri"}


@pytest.fixture
def _source(django_db_setup, target):
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.usefixtures("_source")
def test_a_copy_of_a_catalog_has_all_of_it(target, monkeypatch):
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 2)
    with transaction.atomic():
        for number in range(5):
            declare(f"https://example.org/{number}.tgz")
        present("https://example.org/present.tgz")
        copying.prepare_target()
        copied = copying.tables()
        for table in copied:
            list(copying.copy_table(table))
        copying.finish_target(copied)
        transaction.set_rollback(True)  # other tests have the same database
    assert len(indexed(target, "tgz")) == 6
    assert_whole(target)


def test_later_migrations_keep_what_adds_new_files(target):
    """Django makes a table of SQLite's anew to change it, and then its triggers are gone."""
    call_command("migrate", database=TARGET, verbosity=0)
    triggers = {name for (name,) in ask(target, "SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    assert triggers >= {f"catalog_fileuri_{what}" for what in ("add", "remove", "index", "unindex")}
