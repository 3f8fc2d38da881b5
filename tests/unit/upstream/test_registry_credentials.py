import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.upstream.registry_credentials import (
    Credentials,
    find_credentials,
    parse_credentials,
    read_credentials,
)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def parse(**auths):
    return parse_credentials(json.dumps({"auths": auths}))


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ({"auth": encoded("ann:sec:ret")}, Credentials("ann", "sec:ret")),
        ({"username": "ann", "password": "secret"}, Credentials("ann", "secret")),
        ({"auth": encoded("<token>:"), "identitytoken": "long"}, Credentials("<token>", "", "long")),
        ({"registrytoken": "given"}, Credentials(registry_token="given")),
    ],
)
def test_entries(entry, credentials):
    assert parse(**{"ghcr.io": entry}) == {"ghcr.io": credentials}
    assert "sec" not in repr(credentials)


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://host:5000/v2/", "host:5000"),
        ("quay.io/org/name", "quay.io/org/name"),
    ],
)
def test_names_are_normalised(name, registry):
    assert list(parse(**{name: {"auth": encoded("a:b")}})) == [registry]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "auths"),
        ("{}", "auths"),
        ('{"auths": []}', "auths"),
        ('{"auths": {"ghcr.io": "secret"}}', "ghcr.io is not an object"),
        ('{"auths": {"ghcr.io": {}}}', "username and password"),
        ('{"auths": {"ghcr.io": {"auth": "secret!"}}}', "base64"),
        (json.dumps({"auths": {"ghcr.io": {"auth": encoded("secret")}}}), "base64"),
        ('{"auths": {"ghcr.io": {"registrytoken": "sec\\nret"}}}', "registrytoken"),
        ('{"auths": {"ghcr io": {"registrytoken": "secret"}}}', "auths"),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(text, words):
    with pytest.raises(ValueError, match=words) as refused:
        parse_credentials(text)
    assert "secret" not in str(refused.value)


@given(st.text() | st.dictionaries(st.text(), st.text() | st.dictionaries(st.text(), st.text())).map(json.dumps))
def test_reading_raises_nothing_but_value_error(text):
    for content in (text, f'{{"auths": {text}}}'):
        try:
            parse_credentials(content)
        except ValueError:
            continue


def test_the_longest_name_wins():
    known = {name: Credentials(name) for name in ("quay.io", "quay.io/org", "quay.io/org/name")}
    assert find_credentials(known, "quay.io", "org/name").username == "quay.io/org/name"
    assert find_credentials(known, "quay.io", "org/other").username == "quay.io/org"
    assert find_credentials(known, "quay.io", "organisation/other").username == "quay.io"
    assert find_credentials(known, "ghcr.io", "org/name") is None


def test_basic():
    assert Credentials("Aladdin", "open sesame").basic == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, 2
    assert Credentials(registry_token="x").basic == ""


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_everybody_may_open(tmp_path, mode):
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {}}')
    file.chmod(mode)
    with pytest.raises(ValueError, match=f"chmod 600 {file}"):
        read_credentials(file)


def test_files(tmp_path):
    file = tmp_path / "auth.json"
    with pytest.raises(ValueError, match="cannot be read"):
        read_credentials(file)
    file.write_bytes(b"\xff")
    file.chmod(0o640)
    with pytest.raises(ValueError, match="not JSON"):
        read_credentials(file)
    file.write_text('{"auths": {"ghcr.io": {"username": "ann", "password": "secret"}}}')
    assert read_credentials(file) == {"ghcr.io": Credentials("ann", "secret")}
