"""The key of a file: one rule for declarations and requests (RFC 3986, 6.2.2.1 and 6.2.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.uris import Authority, parse_authority, parse_file_uri, uri_key

URI_CHARACTERS = "abcXYZ019-._~%41/?#[]@!$&'()*+,;=: \t\n\0é漢"


@pytest.mark.parametrize(
    ("given_uri", "key"),
    [
        ("HTTPS://Example.ORG/Foo", "https://example.org/Foo"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org?x=1", "https://example.org/?x=1"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("http://example.org:80/a", "http://example.org/a"),
        ("https://example.org:80/a", "https://example.org:80/a"),
        ("https://example.org:/a", "https://example.org/a"),
        ("https://example.org/a#fragment", "https://example.org/a"),
        ("https://example.org/%7Ea/../b//c?q=%2f&&", "https://example.org/%7Ea/../b//c?q=%2f&&"),
        ("https://bücher.example/é?ü", "https://xn--bcher-kva.example/%C3%A9?%C3%BC"),
        ("http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080/"),
        ("  https://example.org/a  ", "https://example.org/a"),
        ("https://example.org./a", "https://example.org./a"),
    ],
)
def test_spellings_come_to_one_key(given_uri, key):
    assert str(parse_file_uri(given_uri)) == key


@pytest.mark.parametrize(
    ("given_uri", "part_of_message"),
    [
        ("example.org/a", "not an absolute URI"),
        ("", "not an absolute URI"),
        ("ftp://example.org/a", "'ftp' is not supported"),
        ("javascript://example.org/a", "not supported"),
        ("https://user:secret@example.org/a", "credentials"),
        ("https://user@example.org/a", "credentials"),
        ("https:///a", "names no host"),
        ("https://:443/a", "names no host"),
        ("https://example.org:0/a", "port"),
        ("https://example.org:65536/a", "port"),
        ("https://example.org:99999999999/a", "port"),
        ("https://exa mple.org/a", "not a host name"),
        ("https://-example.org/a", "not a host name"),
        ("https://[::zz]/a", "not an IPv6 address"),
        ("https://example.org/a b", "%20"),
        ("https://example.org/a\nHost: other.test", "character"),
        ("https://example.org/" + "a" * 8192, "bytes"),
    ],
)
def test_what_no_file_can_have_is_refused_with_a_reason(given_uri, part_of_message):
    with pytest.raises(ValueError, match=part_of_message):
        parse_file_uri(given_uri)


def test_a_refusal_does_not_repeat_a_password():
    with pytest.raises(ValueError) as refused:
        parse_file_uri("https://user:secret@example.org/a")
    assert "secret" not in str(refused.value)


@given(
    st.text()
    | st.text(URI_CHARACTERS).map("https://example.org/".__add__)
    | st.text(URI_CHARACTERS).map("http://".__add__)
)
def test_normalising_is_idempotent_and_raises_nothing_but_value_error(text):
    try:
        uri = parse_file_uri(text)
    except ValueError:
        return
    again = parse_file_uri(str(uri))
    assert again == uri
    assert str(again) == str(uri)
    assert str(uri).isascii()
    assert not set(str(uri)) & set(" \t\r\n\0")
    assert uri.scheme in {"http", "https"}
    assert uri.target.startswith("/")


@given(st.text("abc019-._~%41/!$&'()*+,;=:@"), st.text("abc019-._~%41/?!$&'()*+,;=:@"))
def test_path_and_query_are_kept_to_the_letter(path, query):
    assert parse_file_uri(f"https://example.org/{path}?{query}").target == f"/{path}?{query}"


@given(st.text())
def test_an_authority_raises_nothing_but_value_error(text):
    try:
        authority = parse_authority(text, default_port=443)
    except ValueError:
        return
    assert parse_authority(authority.for_scheme("https"), default_port=443) == authority


def test_an_authority_without_a_port_needs_a_default():
    assert parse_authority("Example.org:8443") == Authority("example.org", 8443)
    with pytest.raises(ValueError, match="no port"):
        parse_authority("example.org")


def test_the_key_has_one_length_whatever_the_uri():
    assert len(uri_key("https://example.org/")) == len(uri_key("https://example.org/" + "a" * 8000)) == 32


def test_the_basename_is_what_people_call_the_file():
    assert parse_file_uri("https://example.org/a/b.tgz?x=/y").basename == "b.tgz"
    assert parse_file_uri("https://example.org/a/").basename == ""
