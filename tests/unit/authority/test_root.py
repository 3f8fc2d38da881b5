"""Making, adopting and loading a CA."""

import datetime as dt
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from distfile_mirror.authority import root
from distfile_mirror.authority.root import AuthorityError, adopt_authority, create_authority, load_authority


def test_what_clients_ask_of_a_ca(tmp_path):
    certificate = create_authority(tmp_path).certificate
    extensions = certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value.ca
    assert usage.critical
    assert usage.value.key_cert_sign
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert certificate.not_valid_before_utc <= dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


def test_the_key_is_for_nobody_else(tmp_path):
    create_authority(tmp_path / "ca")
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600


def test_what_was_made_is_loaded(tmp_path):
    made = create_authority(tmp_path)
    assert load_authority(tmp_path).certificate == made.certificate


def test_a_ca_is_never_overwritten(tmp_path):
    create_authority(tmp_path)
    with pytest.raises(AuthorityError, match="already"):
        create_authority(tmp_path)


def test_a_passphrase_is_needed_again(tmp_path):
    create_authority(tmp_path, passphrase="open sesame")
    assert b"ENCRYPTED" in (tmp_path / "ca.key").read_bytes()
    assert load_authority(tmp_path, passphrase="open sesame")
    with pytest.raises(AuthorityError, match="DISTFILE_MIRROR_CA_PASSPHRASE"):
        load_authority(tmp_path)
    with pytest.raises(AuthorityError, match="passphrase is wrong"):
        load_authority(tmp_path, passphrase="open barley")


def test_a_missing_ca_says_what_to_do(tmp_path):
    with pytest.raises(AuthorityError, match="distfile-mirror ca init"):
        load_authority(tmp_path)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def existing(key, *, ca=True, days=30, complete=True, signer=None):
    """Make a certificate as an organisation may have it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Our CA")])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(root._ca_key_usage(), critical=True)
    )
    if complete:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    algorithm = None if isinstance(signer or key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer or key, algorithm).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "make", [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP384R1())]
)
def test_an_existing_ca_is_adopted(tmp_path, make):
    key = make()
    adopted = adopt_authority(tmp_path, existing(key), pem(key))
    assert load_authority(tmp_path).certificate == adopted.certificate


KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        (existing(KEY), pem(OTHER), "not that of the certificate"),
        (existing(KEY, ca=False), pem(KEY), "not one of a CA"),
        (existing(KEY, days=-1), pem(KEY), "expired"),
        (existing(KEY, complete=False), pem(KEY), "subjectKeyIdentifier"),
        (b"nonsense", pem(KEY), "not PEM"),
        (existing(KEY), b"nonsense", "not a private key"),
    ],
)
def test_what_clients_would_not_accept_is_refused(tmp_path, certificate, key, problem):
    with pytest.raises(AuthorityError, match=problem):
        adopt_authority(tmp_path, certificate, key)
    assert not list(tmp_path.iterdir())


def test_other_kinds_of_key_are_refused(tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(AuthorityError, match="neither RSA nor EC"):
        adopt_authority(tmp_path, existing(key), encoded)


def test_java_and_openssl_can_read_what_is_exported(tmp_path):
    authority = create_authority(tmp_path)
    store = pkcs12.load_pkcs12(root.java_trust_store(authority.anchors), root.TRUST_STORE_PASSWORD.encode())
    assert [entry.certificate for entry in store.additional_certs] == [authority.certificate]
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256"],
        input=root.certificate_der(authority),
        capture_output=True,
        check=True,
    )
    assert root.fingerprint(authority).encode() in shown.stdout
