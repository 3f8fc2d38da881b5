import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.addresses import ConnectTo, is_special, parse_connect_to, parse_listen_address


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "192.0.2.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%1", "fc00::1",
        "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "2002:7f00:1::", "2002:a00:1::1", "2001::1", "3fff::1", "5f00::1", "100::1", "64:ff9b:1::1", "192.88.99.1",
    ],
)  # fmt: skip
def test_special(text):
    assert is_special(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public(text):
    assert not is_special(ipaddress.ip_address(text), ())


def test_allowed_networks():
    allowed = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert not is_special(ipaddress.ip_address("10.1.2.3"), allowed)
    assert not is_special(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_special(ipaddress.ip_address("fd00::1"), allowed)
    assert is_special(ipaddress.ip_address("127.0.0.1"), allowed)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_as_special_inside_ipv6(address):
    for inside in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_special(ipaddress.ip_address(inside), ()) == is_special(address, ())


@given(st.ip_addresses(v=4))
def test_what_is_not_special_is_global(address):
    if not is_special(address, ()):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_what_is_not_special_of_ipv6_is_global_or_carries_what_is(address):
    if not is_special(address, ()):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address not in ipaddress.ip_network("64:ff9b::/96"):
            assert address.is_global
        assert inside is None or inside.is_global


def test_listen_address():
    assert parse_listen_address("[::1]:80").host == "::1"
    assert str(parse_listen_address("[::]:80").for_clients) == "[::1]:80"
    assert parse_listen_address("localhost:0").is_loopback
    for wrong in ("80", ":80", "a:b", "a:70000", "a b:80"):
        with pytest.raises(ValueError):
            parse_listen_address(wrong)


def test_connect_to():
    assert parse_connect_to("Up.test:443:[::1]:8443") == ConnectTo("up.test", 443, "[::1]", 8443)
    assert parse_connect_to(":::8443") == ConnectTo("", None, "", 8443)
    assert str(parse_connect_to("a:1:b:2")) == "a:1:b:2"
    assert parse_connect_to("a::b:").matches("a", 7)
    assert not parse_connect_to("a:1:b:").matches("a", 7)
    for wrong in ("a:1:b", "a:1:b:2:3", "a:x:b:2", "a:0:b:2"):
        with pytest.raises(ValueError):
            parse_connect_to(wrong)
