import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.registry_challenges import (
    DEFAULT_LIFETIME,
    Challenge,
    choose_challenge,
    parse_challenges,
    read_token,
    token_parameters,
    token_uri,
    with_query,
)


@pytest.mark.parametrize(
    ("values", "challenges"),
    [
        (
            ['Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"'],
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull",
                    },
                )
            ],
        ),
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (["Basic"], [("basic", {})]),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["NTLM TlRMTVNTUAAB==, Basic realm=x"], [("ntlm", {}), ("basic", {"realm": "x"})]),
        (
            ['Bearer realm="x" , service = y', "Basic realm=z"],
            [("bearer", {"realm": "x", "service": "y"}), ("basic", {"realm": "z"})],
        ),
        (['bearer REALM="a\\"b\\\\c"'], [("bearer", {"realm": 'a"b\\c'})]),
        (['Bearer realm="x",scope=""'], [("bearer", {"realm": "x", "scope": ""})]),
        (["", " , "], []),
        (['"?"'], []),
    ],
)
def test_challenges(values, challenges):
    assert parse_challenges(values) == [Challenge(*each) for each in challenges]


@given(st.lists(st.text('abBasicBearer=", \\\t;:/é\n') | st.text()))
def test_whatever_comes_is_read(values):
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()
    choose_challenge(parse_challenges(values))


def test_a_token_rather_than_a_password():
    challenges = parse_challenges(["Basic realm=x", "Bearer realm=y"])
    assert choose_challenge(challenges).scheme == "bearer"
    assert choose_challenge(challenges[:1]).scheme == "basic"
    assert choose_challenge([]) is None


@pytest.mark.parametrize(
    ("realm", "plain_http", "words"),
    [
        ("", True, "no usable address"),
        ("/token", True, "no usable address"),
        ("https://user:secret@auth.test/token", True, "credentials"),
        ("http://auth.test/token", False, "plain_http_registries"),
    ],
)
def test_token_addresses_that_are_not_asked(realm, plain_http, words):
    with pytest.raises(PermanentFetchError, match=words) as refused:
        token_uri(Challenge("bearer", {"realm": realm}), repository="r/a", plain_http=plain_http)
    assert "secret" not in str(refused.value)


def test_what_a_token_address_is_asked():
    challenge = Challenge("bearer", {"realm": "https://auth.test/token?x=1", "service": "a service"})
    realm = token_uri(challenge, repository="r/a", plain_http=False)
    parameters = token_parameters(challenge, repository="team/app")
    assert (
        with_query(realm, parameters)
        == "https://auth.test/token?x=1&service=a+service&scope=repository%3Ateam%2Fapp%3Apull"
    )
    assert token_parameters(Challenge("bearer", {"scope": "x"}), repository="a") == {"scope": "x"}
    assert with_query(parse_file_uri("https://a.test"), {"b": "c"}) == "https://a.test/?b=c"


@pytest.mark.parametrize(
    ("content", "value", "lifetime"),
    [
        (b'{"token": "abc"}', "abc", DEFAULT_LIFETIME - 5),
        (b'{"access_token": "abc", "expires_in": 300}', "abc", 295),
        (b'{"token": "abc", "access_token": "def", "expires_in": 4}', "abc", 2),
        (b'{"token": "abc", "expires_in": "300"}', "abc", DEFAULT_LIFETIME - 5),
        (b'{"token": "abc", "expires_in": -1}', "abc", DEFAULT_LIFETIME - 5),
        (b'{"token": "abc", "expires_in": true}', "abc", DEFAULT_LIFETIME - 5),
        (b'{"token": "abc", "expires_in": 1e999}', "abc", DEFAULT_LIFETIME - 5),
    ],
)
def test_tokens(content, value, lifetime):
    token = read_token(content, "https://auth.test/token")
    assert (token.value, token.lifetime) == (value, lifetime)
    assert value not in repr(token)


@given(st.binary() | st.text().map(lambda text: f'{{"token": "{text}"}}'.encode("utf-8", "surrogatepass")))
def test_what_a_token_can_be(content):
    try:
        token = read_token(content, "https://auth.test/token")
    except PermanentFetchError as error:
        assert "https://auth.test/token" in str(error)
        return
    assert token.value.isascii()
    assert token.value.isprintable()
    assert " " not in token.value
