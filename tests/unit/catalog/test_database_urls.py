"""URLs of databases, and the settings that come of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.catalog.database_urls import PATIENCE, database_settings


def test_sqlite():
    assert database_settings("sqlite:////srv/a%20b.sqlite3")["NAME"] == "/srv/a b.sqlite3"
    assert database_settings("sqlite:///c.sqlite3")["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40ss@Db.example.org:5433/mirror", ("u", "p@ss", "Db.example.org", "5433", "mirror")),
        ("postgres://h/n", ("", "", "h", "5432", "n")),
        ("postgresql:///n", ("", "", "", "", "n")),
        ("postgresql://u@%2Frun%2FPostgres:6000/n", ("u", "", "/run/Postgres", "6000", "n")),
        ("postgresql://u@%2Frun/n", ("u", "", "/run", "", "n")),
        ("postgresql://u:p@[2001:db8::1]:5433/n", ("u", "p", "2001:db8::1", "5433", "n")),
        ("cockroachdb://root@c.example.org/n", ("root", "", "c.example.org", "26257", "n")),
    ],
)
def test_servers(url, expected):
    settings = database_settings(url)
    assert tuple(settings[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")) == expected


def test_the_query_goes_to_the_library_and_wins():
    options = database_settings("postgresql://h/n?sslmode=verify-full&connect_timeout=9")["OPTIONS"]
    assert options["sslmode"] == "verify-full"
    assert options["connect_timeout"] == "9"
    assert options["tcp_user_timeout"] == PATIENCE["tcp_user_timeout"]


@pytest.mark.parametrize(
    "url",
    ["", "mirror.sqlite3", "sqlite://host/x", "sqlite:///", "mysql://h/n", "postgresql://h", "postgresql://h:x/n"],
)
def test_what_is_no_url_is_refused_with_examples(url):
    with pytest.raises(ValueError, match="postgresql://USER:PASSWORD@HOST/NAME"):
        database_settings(url)


@given(st.text("0123456789!$&*", min_size=3))
def test_no_refusal_shows_a_password(password):
    with pytest.raises(ValueError, match="database") as refused:
        database_settings(f"postgresql://somebody:{password}@h")
    assert password not in str(refused.value)
