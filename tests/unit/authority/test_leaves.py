"""Certificates made on the spot, as real TLS clients see them."""

import datetime as dt
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from distfile_mirror.authority.leaves import LeafIssuer, issue_leaf
from distfile_mirror.authority.root import adopt_authority, create_authority
from tests.unit.authority.test_root import existing, pem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ca")


@pytest.fixture(scope="module")
def authority(folder):
    return create_authority(folder)


def handshake(context, ca_file, server_hostname):
    """Shake hands with a strict client; return the certificate that it saw."""
    ours, theirs = socket.socketpair()

    def serve():
        try:
            with context.wrap_socket(ours, server_side=True) as sock:
                sock.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cafile=ca_file)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with client.wrap_socket(theirs, server_hostname=server_hostname) as sock:
            return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True))
    finally:
        theirs.close()
        thread.join()


@pytest.mark.parametrize(
    "name",
    [
        "example.org",
        "under_score.example.org",
        "xn--bcher-kva.example",
        "192.0.2.7",
        "2001:db8::7",
        "a" * 60 + ".example.org",
    ],
)
def test_strict_clients_accept_it(authority, folder, name):
    issuer = LeafIssuer(authority, capacity=10)
    leaf = handshake(issuer.context_for((name,)), folder / "ca.pem", name)
    identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert identifier == own
    assert leaf.public_key() != authority.key.public_key()


@pytest.mark.parametrize(
    "make", [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP384R1())]
)
def test_a_leaf_of_an_adopted_ca(tmp_path, make):
    key = make()
    adopted = adopt_authority(tmp_path, existing(key), pem(key))
    context = LeafIssuer(adopted, capacity=1).context_for(("example.org",))
    assert handshake(context, tmp_path / "ca.pem", "example.org")


def test_another_name_is_not_accepted(authority, folder):
    context = LeafIssuer(authority, capacity=10).context_for(("example.org",))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context, folder / "ca.pem", "example.com")


def test_several_names_in_one(authority, folder):
    context = LeafIssuer(authority, capacity=10).context_for(("sni.example.org", "connect.example.org"))
    for name in ("sni.example.org", "connect.example.org"):
        assert handshake(context, folder / "ca.pem", name)


def test_times(authority):
    leaf = issue_leaf(authority, ec.generate_private_key(ec.SECP256R1()).public_key(), ("example.org",))
    now = dt.datetime.now(dt.UTC)
    assert leaf.not_valid_before_utc <= now - dt.timedelta(hours=1)
    assert leaf.not_valid_before_utc >= authority.certificate.not_valid_before_utc
    assert now + dt.timedelta(days=25) < leaf.not_valid_after_utc <= authority.certificate.not_valid_after_utc


def test_a_long_name_stands_in_the_extension_alone(authority):
    name = "a" * 60 + ".example.org"
    leaf = issue_leaf(authority, ec.generate_private_key(ec.SECP256R1()).public_key(), (name,))
    assert not list(leaf.subject)
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_leaves_are_kept_and_bounded(authority):
    issuer = LeafIssuer(authority, capacity=2)
    first = issuer.context_for(("a.test",))
    assert issuer.context_for(("a.test",)) is first
    assert issuer.cached(("a.test",)) is first
    issuer.context_for(("b.test",))
    issuer.context_for(("c.test",))
    assert issuer.cached(("a.test",)) is None
    assert issuer.issued == 3


def test_leaves_are_made_anew_before_they_expire(tmp_path):
    """A CA about to expire signs leaves that do not outlive it, and are soon replaced."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = adopt_authority(tmp_path, existing(key, days=2 / 86400), pem(key))
    issuer = LeafIssuer(authority, capacity=2)
    first = issuer.context_for(("a.test",))
    waited = threading.Event()
    waited.wait(1.2)
    assert issuer.context_for(("a.test",)) is not first
