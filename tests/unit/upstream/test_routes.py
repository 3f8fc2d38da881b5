import pytest

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.addresses import parse_connect_to
from distfile_mirror.model.uris import parse_file_uri
from distfile_mirror.upstream.routes import Route, find_route

URI = parse_file_uri("https://up.test/a%2Fb?c")


def test_connect_to_keeps_who_is_meant():
    rules = [parse_connect_to("other.test::x.test:"), parse_connect_to("up.test:443:[::1]:8443")]
    assert find_route(URI, rules, {"https": "http://proxy.test"}) == Route(
        "https://[::1]:8443/a%2Fb?c", host="up.test", server_name="up.test"
    )


@pytest.mark.parametrize(
    ("no_proxy", "bypassed"),
    [
        ("", False),
        ("*", True),
        ("test", True),
        (".test", True),
        ("up.test", True),
        ("up.test:443", True),
        ("up.test:80", False),
        ("p.test", False),
        ("example.org, .test", True),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy(no_proxy, bypassed):
    route = find_route(URI, [], {"https": "proxy.test:3128", "no": no_proxy})
    assert route.proxy == (None if bypassed else "http://proxy.test:3128")


def test_no_proxy_for_a_network():
    uri = parse_file_uri("http://10.1.2.3/x")
    assert find_route(uri, [], {"all": "http://proxy.test", "no": "10.0.0.0/8"}).proxy is None
    assert find_route(uri, [], {"all": "http://proxy.test", "no": "10.2.0.0/16"}).proxy == "http://proxy.test"


def test_other_kinds_of_proxy_are_refused():
    with pytest.raises(PermanentFetchError, match="socks5"):
        find_route(URI, [], {"https": "socks5://user:secret@proxy.test"})
