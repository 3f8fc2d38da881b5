"""Create, adopt, load and export the CA: ``ca.pem`` for everybody, ``ca.key`` (0600) for nobody else.

The rules of what a CA certificate must carry are those of clients that verify strictly (RFC 5280,
4.2.1; Python 3.13's VERIFY_X509_STRICT): a subject key identifier, critical key usage and basic constraints.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from distfile_mirror.errors import MirrorError

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
VALID_FOR = timedelta(days=3652)
BACKDATED = timedelta(days=1)
TRUST_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; a trust store holds nothing secret

CAKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class AuthorityError(MirrorError):
    """The certificate authority cannot be used."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA: ``chain`` is its certificate, then those above it if it is an intermediate."""

    chain: tuple[x509.Certificate, ...]
    key: CAKey

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that signs leaves."""
        return self.chain[0]


def create_authority(folder: Path, *, name: str = "Distfile Mirror CA", passphrase: str | None = None) -> Authority:
    """Make a new CA in ``folder``. Raises AuthorityError if there is one, or it cannot be written."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_key_usage(), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority((certificate,), key)
    _write(folder, authority, passphrase)
    return authority


def adopt_authority(
    folder: Path, certificate_pem: bytes, key_pem: bytes, *, passphrase: str | None = None
) -> Authority:
    """Take an existing CA (PEM; RSA or EC) into ``folder``; the key is encrypted with ``passphrase`` if given.

    Raises:
        AuthorityError: if the two do not fit, or clients would not accept what it signs.
    """
    authority = _parse(certificate_pem, key_pem, passphrase)
    _write(folder, authority, passphrase)
    return authority


def load_authority(folder: Path, *, passphrase: str | None = None) -> Authority:
    """Load the CA of ``folder``. Raises AuthorityError, saying what to do."""
    try:
        certificate_pem = (folder / CERTIFICATE_FILE).read_bytes()
        key_pem = (folder / KEY_FILE).read_bytes()
    except FileNotFoundError as error:
        raise AuthorityError(f"{error.filename} is missing: make a CA with `distfile-mirror ca init`") from None
    except OSError as error:
        raise AuthorityError(f"{error.filename} cannot be read: {error.strerror}") from None
    return _parse(certificate_pem, key_pem, passphrase)


def has_authority(folder: Path) -> bool:
    """Tell whether ``folder`` holds a CA, whole or in part."""
    return (folder / CERTIFICATE_FILE).exists() or (folder / KEY_FILE).exists()


def certificate_pem(authority: Authority) -> bytes:
    """Return the CA's certificates as PEM, as clients are given them."""
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in authority.chain)


def certificate_der(authority: Authority) -> bytes:
    """Return the CA's certificate as DER."""
    return authority.certificate.public_bytes(serialization.Encoding.DER)


def java_trust_store(authority: Authority) -> bytes:
    """Return a PKCS #12 trust store for Java; its password is TRUST_STORE_PASSWORD."""
    entries = [
        pkcs12.PKCS12Certificate(item, f"distfile-mirror-{number}".encode())
        for number, item in enumerate(authority.chain)
    ]
    return pkcs12.serialize_java_truststore(
        entries, serialization.BestAvailableEncryption(TRUST_STORE_PASSWORD.encode())
    )


def fingerprint(authority: Authority) -> str:
    """Return the sha256 of the certificate as ``AB:CD:…``."""
    return authority.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _parse(certificate_pem: bytes, key_pem: bytes, passphrase: str | None) -> Authority:
    try:
        chain = tuple(x509.load_pem_x509_certificates(certificate_pem))
    except ValueError:
        raise AuthorityError("the CA certificate is not PEM (-----BEGIN CERTIFICATE-----)") from None
    authority = Authority(chain, _parse_key(key_pem, passphrase))
    for problem in _problems(authority):
        raise AuthorityError(f"the CA cannot be used: {problem}")
    return authority


def _parse_key(key_pem: bytes, passphrase: str | None) -> CAKey:
    encrypted = b"ENCRYPTED" in key_pem
    if encrypted and not passphrase:
        raise AuthorityError("the CA key is encrypted: set DISTFILE_MIRROR_CA_PASSPHRASE")
    try:
        key = serialization.load_pem_private_key(key_pem, passphrase.encode() if passphrase and encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        hint = "the passphrase is wrong, or " if encrypted else ""
        raise AuthorityError(f"the CA key cannot be read: {hint}it is not a private key in PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise AuthorityError("the CA key is neither RSA nor EC")
    return key


def _problems(authority: Authority) -> list[str]:
    certificate = authority.certificate
    problems = []
    if certificate.public_key() != authority.key.public_key():
        problems.append("the key is not that of the certificate")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        problems.append(f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            problems.append("the certificate is not one of a CA (basic constraints)")
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        if not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            problems.append("its key usage does not allow signing certificates")
    except x509.ExtensionNotFound as error:
        problems.append(f"the certificate lacks what strict clients ask for: {error.oid._name}")  # noqa: SLF001
    return problems


def _write(folder: Path, authority: Authority, passphrase: str | None) -> None:
    if has_authority(folder):
        raise AuthorityError(f"{folder} holds a CA already: move it away first if it is to be replaced")
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    key_pem = authority.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_file(folder / KEY_FILE, key_pem, 0o600)
        _write_file(folder / CERTIFICATE_FILE, certificate_pem(authority), 0o644)
    except OSError as error:
        raise AuthorityError(f"{error.filename} cannot be written: {error.strerror}") from None


def _write_file(path: Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)


def _ca_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
