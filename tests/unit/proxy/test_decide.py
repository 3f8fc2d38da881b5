"""From a request and the way it came in to what is done with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.uris import Authority, parse_file_uri
from distfile_mirror.proxy.decide import Refuse, Serve, ServeOwn, StartTls, decide
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.routes import Channel

DIRECT = Channel(own_hosts=frozenset({b"mirror:3128", b"127.0.0.1:3128"}))
TLS = Channel("https", Authority("example.org", 443))
TLS_ODD_PORT = Channel("https", Authority("example.org", 8443))
PLAIN_TUNNEL = Channel("http", Authority("example.org", 80))
BY_SNI = DIRECT.encrypted("example.org")
NO_SNI = DIRECT.encrypted("")


def ask(target, channel=DIRECT, *, host=b"example.org", method=b"GET", version="1.1", **headers):
    fields = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    if host is not None:
        fields[b"host"] = host
    return decide(Request(method, target, keep_alive=True, version=version, headers=fields), channel)


@pytest.mark.parametrize(
    ("target", "channel", "host", "uri"),
    [
        (b"http://Example.ORG:80/a?b", DIRECT, b"other", "http://example.org/a?b"),
        (b"http://example.org", DIRECT, b"x", "http://example.org/"),
        (b"https://example.org:443/a", DIRECT, b"x", "https://example.org/a"),
        (b"http://[2001:DB8::1]:8080/a", DIRECT, b"x", "http://[2001:db8::1]:8080/a"),
        (b"/a", TLS, b"example.org", "https://example.org/a"),
        (b"/a", TLS, b"EXAMPLE.org:443", "https://example.org/a"),
        (b"/a/../b//c;d?e=%2f&f", TLS, b"example.org", "https://example.org/a/../b//c;d?e=%2f&f"),
        (b"/a#b", TLS, b"example.org", "https://example.org/a"),
        (b"https://example.org/a", TLS, b"example.org", "https://example.org/a"),
        (b"/a", TLS_ODD_PORT, b"example.org:8443", "https://example.org:8443/a"),
        (b"/a", TLS_ODD_PORT, b"example.org", "https://example.org:8443/a"),
        (b"/a", PLAIN_TUNNEL, b"example.org:80", "http://example.org/a"),
        (b"/a", BY_SNI, b"example.org", "https://example.org/a"),
        (b"/a", BY_SNI, b"example.org:8443", "https://example.org:8443/a"),
        (b"/a", NO_SNI, b"example.org", "https://example.org/a"),
        (b"/health", BY_SNI, b"example.org", "https://example.org/health"),
        (b"/a", DIRECT, b"led-here-by-dns.test", "http://led-here-by-dns.test/a"),
    ],
)
def test_files(target, channel, host, uri):
    assert ask(target, channel, host=host) == Serve(uri)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/ca.pem", b"mirror:3128"),
        (b"/health", b"10.0.0.7:3128"),
        (b"/?x", b"whatever.test"),
        (b"http://mirror:3128/ca.pem", b"mirror:3128"),
    ],
)
def test_the_server_itself(target, host):
    assert isinstance(ask(target, host=host), ServeOwn)


def test_unknown_paths_of_the_server_itself():
    assert ask(b"/x", host=b"mirror:3128") == ServeOwn("/x")


def test_connect():
    assert ask(b"Example.org:443", method=b"CONNECT", host=None) == StartTls(Authority("example.org", 443))
    assert ask(b"[::1]:8443", method=b"CONNECT", version="1.0", host=None) == StartTls(Authority("[::1]", 8443))


@pytest.mark.parametrize("target", [b"example.org", b":1", b"a:b", b"a:0", b"a:70000", b"http://a:1", b"\xff:1", b""])
def test_connect_to_nonsense(target):
    assert ask(target, method=b"CONNECT").status == 400


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (421, lambda: ask(b"/a", TLS, host=b"other.org")),
        (421, lambda: ask(b"/a", TLS, host=b"example.org:8443")),
        (421, lambda: ask(b"https://other.org/a", TLS)),
        (421, lambda: ask(b"http://example.org/a", TLS)),
        (421, lambda: ask(b"/a", BY_SNI, host=b"other.org")),
        (400, lambda: ask(b"/a", TLS, host=None)),
        (400, lambda: ask(b"/a", TLS, host=b"a b")),
        (400, lambda: ask(b"ftp://example.org/a")),
        (400, lambda: ask(b"http://u:p@example.org/a")),
        (400, lambda: ask(b"*", method=b"OPTIONS")),
        (400, lambda: ask(b"other:1", TLS, method=b"CONNECT")),
        (405, lambda: ask(b"/a", TLS, method=b"POST")),
        (405, lambda: ask(b"http://example.org/a", method=b"DELETE")),
        (417, lambda: ask(b"/a", TLS, expect=b"wonders")),
        (505, lambda: ask(b"/a", TLS, version="2.0")),
        (505, lambda: ask(b"/a", TLS, version="0.9")),
    ],
)
def test_refusals(status, asked):
    refused = asked()
    assert isinstance(refused, Refuse)
    assert refused.status == status
    assert refused.message


def test_405_says_what_is_allowed():
    assert ask(b"/a", TLS, method=b"PUT").headers == {"Allow": "GET, HEAD"}


TARGET = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.binary(max_size=40).map(lambda rest: b"/" + rest),
    st.binary(max_size=40).map(lambda rest: b"http://example.org/" + rest),
)


@given(target=TARGET, host=st.none() | st.binary(max_size=30), channel=st.sampled_from([DIRECT, TLS, BY_SNI, NO_SNI]))
def test_any_target_is_decided_on(target, host, channel):
    decision = ask(target, channel, host=host)
    assert isinstance(decision, Serve | ServeOwn | Refuse)


PATH = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_characters="#?\x7f"), max_size=30).filter(
    lambda text: not any("\x7f" <= character <= "\x9f" or character.isspace() for character in text)
)


@given(path=PATH, query=st.none() | PATH)
def test_what_was_declared_is_found_however_it_is_asked_for(path, query):
    """One rule for declarations and requests."""
    target = "/" + path + ("" if query is None else "?" + query)
    declared = str(parse_file_uri(f"https://example.org{target}"))
    raw = target.encode()
    assert ask(raw, TLS) == Serve(declared)
    assert ask(b"https://example.org:443" + raw, DIRECT) == Serve(declared)
