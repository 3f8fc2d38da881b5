from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from distfile_mirror.errors import PermanentFetchError, StorageError, TransientFetchError
from distfile_mirror.upstream.registry_statuses import (
    NotInRegistryError,
    Wanted,
    check_registry_status,
    with_message,
    without_queries,
)
from distfile_mirror.upstream.settings import Head

URI = "https://registry-1.docker.io/v2/library/debian/manifests/12"
ANYBODY = Wanted("docker.io", "library/debian", "docker.io/library/debian:12", has_credentials=False)
ANN = Wanted("docker.io", "library/debian", "docker.io/library/debian:12", has_credentials=True)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def check(status, *, final_uri=URI, wanted=ANYBODY, **headers):
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    check_registry_status(Head(status, "Because", fields, final_uri), URI, wanted, now=NOW)


def test_200():
    check(200)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, PermanentFetchError, "private.*registry_credentials_file"),
        (403, PermanentFetchError, "private.*registry_credentials_file"),
        (404, NotInRegistryError, "docker.io does not have it"),
        (410, PermanentFetchError, "410"),
        (429, TransientFetchError, "asked too often.*registry_credentials_file"),
        (500, TransientFetchError, "fault of its own"),
        (501, PermanentFetchError, "does not know such a request"),
        (503, TransientFetchError, "503"),
        (206, PermanentFetchError, "206"),
    ],
)
def test_statuses(status, kind, words):
    with pytest.raises(kind, match=words) as found:
        check(status)
    assert str(found.value).startswith("docker.io/library/debian:12: ")


def test_with_credentials_the_advice_is_another():
    with pytest.raises(PermanentFetchError, match="may not pull"):
        check(403, wanted=ANN)
    with pytest.raises(TransientFetchError) as found:
        check(429, wanted=ANN)
    assert "registry_credentials_file" not in str(found.value)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status):
    with pytest.raises(TransientFetchError) as found:
        check(status, Retry_After="7")
    assert found.value.retry_after == 7


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_another_host_says_is_not_the_registrys_word(status):
    with pytest.raises(PermanentFetchError) as found:
        check(status, final_uri="https://cdn.test/x?signature=1")
    assert not isinstance(found.value, NotInRegistryError)
    assert "cdn.test" in str(found.value)
    assert "private" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("https://a.test/x?y=secret", "https://a.test/x?…"),
        ("https://a.test/x?y=secret: it failed", "https://a.test/x?…: it failed"),
        ("(from https://a.test/x?y=sec:ret;z), and", "(from https://a.test/x?…), and"),
        ("one http://a/?b, two http://c/?d", "one http://a/?…, two http://c/?…"),
        ("is it? no", "is it? no"),
        ("what?", "what?"),
    ],
)
def test_queries(text, without):
    assert without_queries(text) == without


@given(st.text("ab?:;, ./&="))
def test_no_query_is_left(text):
    assert "secret" not in without_queries(f"{text} https://a.test/x?y=secret{text}".replace("? ", " "))


def test_kinds_are_kept():
    assert type(with_message(NotInRegistryError("a"), "b")) is NotInRegistryError
    assert with_message(TransientFetchError("a", retry_after=3), "b").retry_after == 3
    full = StorageError("full")
    assert with_message(full, "b") is full
