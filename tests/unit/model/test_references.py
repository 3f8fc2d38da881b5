"""References to images: every spelling of one image comes to one identity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.digests import Digest
from distfile_mirror.model.references import (
    ImageReference,
    make_reference,
    normalise_registry,
    parse_reference,
    registry_base,
    registry_host,
)
from distfile_mirror.model.uris import parse_file_uri

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
CHARACTERS = "abcXYZ019-._/:@%?#[] \t\n\0é"

components = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=4).map("/".join)
hosts = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){1,2}", fullmatch=True)
tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "has_digest"),
    [
        (f"debian@{DIGEST}", "docker.io", "library/debian", "", True),
        (f"docker.io/library/debian:12@{DIGEST}", "docker.io", "library/debian", "12", True),
        (f"docker.io/debian@{DIGEST}", "docker.io", "library/debian", "", True),
        (f"index.docker.io/debian@{DIGEST}", "docker.io", "library/debian", "", True),
        (f"registry-1.docker.io/library/debian@{DIGEST}", "docker.io", "library/debian", "", True),
        (f"ghcr.io/org/name@{DIGEST}", "ghcr.io", "org/name", "", True),
        (f"host:5000/a/b/c@{DIGEST}", "host:5000", "a/b/c", "", True),
        (f"host:443/a@{DIGEST}", "host", "a", "", True),
        (f"localhost/a@{DIGEST}", "localhost", "a", "", True),
        (f"GHCR.io/org/name@{DIGEST}", "ghcr.io", "org/name", "", True),
        (f"[::1]:5000/a@{DIGEST}", "[::1]:5000", "a", "", True),
        (f" docker://quay.io/a/b@{DIGEST} ", "quay.io", "a/b", "", True),
        ("team/app", "docker.io", "team/app", "", False),
        ("debian:12", "docker.io", "library/debian", "12", False),
        ("a__b/c---d.e", "docker.io", "a__b/c---d.e", "", False),
    ],
)
def test_spellings_come_to_one_identity(text, registry, repository, tag, has_digest):
    digest = Digest("sha256", HEX) if has_digest else None
    assert parse_reference(text) == ImageReference(registry, repository, tag, digest)


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "no repository"),
        ("https://ghcr.io/a/b", "is a URI"),
        ("ghcr.io/Org/name", "lower case"),
        ("ghcr.io/", "no repository"),
        ("a//b", "not the name"),
        ("a/../b", "not the name"),
        ("debian:", "not a tag"),
        ("debian:a/b", "names no host"),
        ("debian:" + "a" * 129, "not a tag"),
        ("debian@", "not a digest"),
        ("debian@md5:" + "0" * 32, "md5"),
        ("debian@sha256:" + HEX.upper(), "lower-case"),
        (f"debian@{DIGEST}@{DIGEST}", "not a digest"),
        ("ghcr.io/" + "a" * 256, "at most 255"),
        ("user:secret@ghcr.io/a", "not a digest"),
        ("https://user:secret@ghcr.io/a", "is a URI"),
    ],
)
def test_what_is_no_reference_is_refused_with_a_reason(text, part_of_message):
    with pytest.raises(ValueError, match=part_of_message) as refused:
        parse_reference(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("HTTPS://Host.example.org:443/mirror/v2", "host.example.org/mirror"),
        ("http://host:80", "host:80"),
        ("http://host", "host:80"),
        ("https://registry-1.docker.io/v2/", "docker.io"),
        ("host/a/b/", "host/a/b"),
    ],
)
def test_registries(text, name):
    assert normalise_registry(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://host",
        "https://user:secret@host",
        "ftp://user:secret@host",
        "host/a b",
        "host:0",
        "host//a",
        "host/a?b",
    ],
)
def test_what_is_no_registry(text):
    with pytest.raises(ValueError) as refused:
        normalise_registry(text)
    assert "secret" not in str(refused.value)


def test_where_a_registry_is_asked():
    assert registry_base("docker.io", scheme="https") == "https://registry-1.docker.io"
    assert registry_base("host:5000/mirror", scheme="http") == "http://host:5000/mirror"
    assert registry_host("host:5000/mirror") == "host:5000"


@pytest.mark.parametrize("text", ["a:443/b", "A/b", "a:/b"])
def test_a_registry_without_a_dot_is_not_taken_for_a_name(text):
    found = parse_reference(f"{text}@{DIGEST}")
    assert found.registry == "a"
    assert str(found) == f"a:443/b@{DIGEST}"
    assert parse_reference(str(found)) == found


@given(hosts, names, st.none() | tags)
def test_what_is_well_written_is_read_back(host, name, tag):
    reference = make_reference(host, name, tag=tag, digest=DIGEST)
    assert parse_reference(str(reference)) == reference


@given(st.text(CHARACTERS) | st.text() | st.text("ab:/@.").map(lambda text: f"{text}@{DIGEST}"))
def test_reading_is_idempotent_and_raises_nothing_but_value_error(text):
    try:
        reference = parse_reference(text)
    except ValueError:
        return
    assert parse_reference(str(reference)) == reference
    assert not set(str(reference)) & set(" \t\r\n\0?#%")
    address = f"{registry_base(reference.registry, scheme='https')}/v2/{reference.repository}/manifests/x"
    assert str(parse_file_uri(address)) == address


@given(st.text(CHARACTERS) | st.text())
def test_registries_are_idempotent_and_raise_nothing_but_value_error(text):
    try:
        name = normalise_registry(text)
    except ValueError:
        return
    assert normalise_registry(name) == name
    assert not any(character.isspace() for character in name)
