"""Lists of files: filters, and pages that neither skip nor repeat."""

import pytest
from django.db import connection

from distfile_mirror.catalog import search_models, table_presence
from distfile_mirror.catalog.listing import Filters, count_by_state, get_file, list_files
from distfile_mirror.catalog.models import File
from distfile_mirror.catalog.search_models import FileUri, are_uris_apart
from distfile_mirror.catalog.table_presence import TablePresence
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from tests.unit.catalog.files import SHA256, declare, failed, present

pytestmark = pytest.mark.django_db


def uris(**filters):
    return [file.uri for file in list_files(Filters(**filters)).items]


def test_the_newest_comes_first_in_pages_that_neither_skip_nor_repeat():
    expected = [declare(f"https://example.org/{number}").file.uri for number in range(7)][::-1]
    found, cursor, pages = [], "", 0
    while True:
        page = list_files(Filters(), cursor=cursor, limit=3)
        found += [file.uri for file in page.items]
        cursor, pages = page.next_cursor, pages + 1
        if pages == 1:
            declare("https://example.org/later")  # a new one does not shift the pages
        if not cursor:
            break
    assert found == expected
    assert pages == 3


def test_filters_hold_together():
    present("https://example.org/a.tgz", project="one")
    failed("https://example.org/b.tgz", project="two")
    declare("https://other.test/%5Fc_.tgz", project="two")
    assert uris(q="EXAMPLE.org/") == ["https://example.org/b.tgz", "https://example.org/a.tgz"]
    assert uris(q=SHA256[:20].upper()) == ["https://example.org/a.tgz"]
    assert uris(q=SHA256.upper()) == uris(q=SHA256[1:]) == uris(q=SHA256[3:40]) == ["https://example.org/a.tgz"]
    assert uris(q=SHA256 + "0") == uris(q="0" * 64) == []
    assert uris(q="%") == uris(q="_") == ["https://other.test/%5Fc_.tgz"], "no wildcards"
    assert uris(state="failed") == ["https://example.org/b.tgz"]
    assert uris(project="two", q="example") == ["https://example.org/b.tgz"]
    assert uris(uri="HTTPS://EXAMPLE.org/a.tgz") == ["https://example.org/a.tgz"]
    assert uris(project="three") == []
    assert count_by_state(File)[State.FAILED] == 1
    assert count_by_state(File)[State.BLOCKED] == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"uri": "nonsense"}, "uri"),
        ({"cursor": "?"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
    ],
)
def test_what_no_list_has_is_named(given, field):
    cursor = given.pop("cursor", "")
    with pytest.raises(InvalidInputError) as refused:
        list_files(Filters(**given), cursor=cursor)
    assert set(refused.value.problems) == {field}


@pytest.mark.parametrize("file_id", [0, -1, 99, 2**70])
def test_what_is_not_there_is_not_found(file_id):
    with pytest.raises(NotFoundError):
        get_file(file_id)


def test_the_database_itself_adds_what_is_searched():
    file = declare("https://example.org/a.tgz").file
    assert are_uris_apart() == (connection.vendor in {"postgresql", "sqlite"})
    if are_uris_apart():
        assert list(FileUri.objects.values_list("file_id", "uri")) == [(file.pk, file.uri)]


@pytest.mark.django_db(transaction=True)
def test_where_that_is_not_there_yet_files_are_searched_and_it_is_asked_for_again_later(monkeypatch):
    presences = {vendor: TablePresence(FileUri, "0004_uris_apart") for vendor in ("postgresql", "sqlite")}
    monkeypatch.setattr(search_models, "_presences", presences)
    declare("https://example.org/a.tgz")
    renamed = connection.vendor in presences
    if renamed:
        rename("catalog_fileuri", "elsewhere")
    try:
        assert not are_uris_apart()
        assert uris(q="a.t", state="pending", uri="https://example.org/a.tgz") == ["https://example.org/a.tgz"]
    finally:
        if renamed:
            rename("elsewhere", "catalog_fileuri")
    assert not are_uris_apart()
    monkeypatch.setattr(table_presence, "ASK_AGAIN_SECONDS", 0)
    assert are_uris_apart() == renamed


def rename(table, name):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")
