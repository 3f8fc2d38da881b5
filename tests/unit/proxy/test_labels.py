"""Labels out of the user name in the proxy's address."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.uris import Authority
from distfile_mirror.proxy.decide import Refuse, Serve, ServeOwn, StartTls, decide
from distfile_mirror.proxy.labels import MAX_LABEL_CHARACTERS, label_of, proves
from distfile_mirror.proxy.request import Request
from distfile_mirror.proxy.routes import Channel


def basic(text):
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("credentials", "label"),
    [
        (basic("firmware:"), "firmware"),
        (basic("firmware"), "firmware"),
        (basic("team a:secret"), "team a"),
        (basic("\r\nx\0:"), "x"),
        (basic("x" * 1000), "x" * MAX_LABEL_CHARACTERS),
        (b"Bearer abc", ""),
        (b"Basic ###", ""),
        (b"Basic " + base64.b64encode(b"\xff\xfe"), ""),
        (b"", ""),
    ],
)
def test_labels(credentials, label):
    assert label_of(credentials) == label


@given(st.binary())
def test_whatever_comes(credentials):
    assert isinstance(label_of(credentials), str)
    assert isinstance(label_of(b"Basic " + base64.b64encode(credentials)), str)


def test_passwords():
    assert proves(basic("anybody:word"), "word")
    assert not proves(basic("anybody:wor"), "word")
    assert not proves(b"", "word")


LOCKED = Channel(own_hosts=frozenset({b"mirror:3128"}), password="word")


def ask(target, *, method=b"GET", host=b"mirror:3128", channel=LOCKED, **headers):
    fields = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return decide(Request(method, target, keep_alive=True, version="1.1", headers={b"host": host, **fields}), channel)


def test_with_a_password_a_proxy_asks_for_it():
    for decision in (ask(b"h:443", method=b"CONNECT"), ask(b"http://h/a", proxy_authorization=basic("a:b"))):
        assert decision.status == 407
        assert decision.headers["Proxy-Authenticate"].startswith("Basic")
    good = basic("firmware:word")
    assert ask(b"h:443", method=b"CONNECT", proxy_authorization=good) == StartTls(Authority("h", 443))
    assert ask(b"http://h/a", proxy_authorization=good) == Serve("http://h/a")
    tunnel = Channel("https", Authority("h", 443))
    assert ask(b"/a", host=b"h", channel=tunnel) == Serve("https://h/a")


def test_with_a_password_nobody_gets_past_it():
    assert ask(b"/a", host=b"led-here.test").status == 403
    refused = ask(b"/v2/")
    assert (refused.status, refused.code) == (401, "UNAUTHORIZED")
    assert not isinstance(ask(b"/v2/", authorization=basic("a:word")), Refuse)
    by_sni = LOCKED.encrypted("h")
    assert ask(b"/a", host=b"h", channel=by_sni).status == 403


def test_with_a_password_its_own_pages_are_open():
    assert ask(b"/ca.pem") == ServeOwn("/ca.pem")
