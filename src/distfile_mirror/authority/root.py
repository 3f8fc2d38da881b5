"""Create, adopt, load and export the CA: ``ca.pem`` for everybody, ``ca.key`` (0600) for nobody else.

The rules of what a CA certificate must carry are those of clients that verify strictly (RFC 5280,
4.2.1; Python 3.13's VERIFY_X509_STRICT): a subject key identifier, critical key usage and basic constraints.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from distfile_mirror.errors import MirrorError

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
NEXT_CERTIFICATE_FILE = "next.pem"
NEXT_KEY_FILE = "next.key"
PREVIOUS_FILE = "previous.pem"
CROSS_FILE = "cross.pem"
OTHER_FILES = (NEXT_CERTIFICATE_FILE, PREVIOUS_FILE)
VALID_FOR = timedelta(days=3652)
BACKDATED = timedelta(days=1)
TRUST_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; a trust store holds nothing secret

CAKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class AuthorityError(MirrorError):
    """The certificate authority cannot be used."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA: ``chain`` is its certificate, then those above it if it is an intermediate.

    ``cross``: this CA's certificate as the one before it signed it, so that clients which know only that one get along
    meanwhile. ``others``: what clients are given to trust as well: the CA that comes next, the one before.
    """

    chain: tuple[x509.Certificate, ...]
    key: CAKey
    cross: tuple[x509.Certificate, ...] = ()
    others: tuple[x509.Certificate, ...] = ()

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that signs leaves."""
        return self.chain[0]

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """What clients are given to trust, this CA's own first."""
        return (*self.chain, *self.others)

    @property
    def sent_along(self) -> tuple[x509.Certificate, ...]:
        """What servers send after a leaf: what leads to an anchor, but no anchor itself (RFC 8446, 4.4.2)."""
        return (*(item for item in self.chain if not is_self_signed(item)), *self.cross)


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Tell whether ``certificate`` was signed with its own key: a CA after a rotation has its old name."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def create_authority(folder: Path, *, name: str = "Distfile Mirror CA", passphrase: str | None = None) -> Authority:
    """Make a new CA in ``folder``. Raises AuthorityError if there is one, or it cannot be written."""
    if has_authority(folder):
        raise AuthorityError(f"{folder} holds a CA already: move it away first if it is to be replaced")
    authority = make_authority(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    _write(folder, authority, passphrase)
    return authority


def make_authority(subject: x509.Name) -> Authority:
    """Make a new CA that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority((sign_ca(key.public_key(), subject, subject, key, valid_for=VALID_FOR),), key)


def sign_ca(
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: CAKey,
    *,
    valid_for: timedelta,
    issuer_identifier: x509.SubjectKeyIdentifier | None = None,
) -> x509.Certificate:
    """Sign a CA's certificate; ``issuer_identifier``: the signer's, if it is not this CA itself."""
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid_for)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if issuer_identifier is not None:
        known_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier)
        builder = builder.add_extension(known_by, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def adopt_authority(
    folder: Path, certificate_pem: bytes, key_pem: bytes, *, passphrase: str | None = None
) -> Authority:
    """Take an existing CA (PEM; RSA or EC) into ``folder``; the key is encrypted with ``passphrase`` if given.

    Raises:
        AuthorityError: if the two do not fit, or clients would not accept what it signs.
    """
    if has_authority(folder):
        raise AuthorityError(f"{folder} holds a CA already: take over from it with `distfile-mirror ca rotate`")
    authority = parse_authority(certificate_pem, key_pem, passphrase)
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
    authority = parse_authority(certificate_pem, key_pem, passphrase)
    others = tuple(item for name in OTHER_FILES for item in _optional(folder / name))
    # Beside a CA that somebody put there since, a signature on the one before says nothing.
    cross = tuple(
        item for item in _optional(folder / CROSS_FILE) if item.public_key() == authority.certificate.public_key()
    )
    return replace(authority, cross=cross, others=others)


def load_anchors(folder: Path) -> tuple[x509.Certificate, ...]:
    """Return what clients are given to trust, without any key: the CA, what comes next, what was before.

    Empty if there is no CA here. Raises AuthorityError if what is there cannot be read.
    """
    names = (CERTIFICATE_FILE, *OTHER_FILES)
    return tuple(item for name in names for item in _optional(folder / name))


def state_of(folder: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return what changes whenever a file of the CA does."""
    return tuple(_version(folder / name) for name in (CERTIFICATE_FILE, KEY_FILE, CROSS_FILE, *OTHER_FILES))


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def has_authority(folder: Path) -> bool:
    """Tell whether ``folder`` holds a CA, whole or in part."""
    return (folder / CERTIFICATE_FILE).exists() or (folder / KEY_FILE).exists()


def certificate_pem(authority: Authority) -> bytes:
    """Return the CA's certificates as PEM, as clients are given them."""
    return pem_of(authority.anchors)


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return ``certificates`` as PEM."""
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in certificates)


def certificate_der(authority: Authority) -> bytes:
    """Return the CA's certificate as DER."""
    return authority.certificate.public_bytes(serialization.Encoding.DER)


def java_trust_store(anchors: Iterable[x509.Certificate]) -> bytes:
    """Return a PKCS #12 trust store for Java; its password is TRUST_STORE_PASSWORD."""
    entries = [
        pkcs12.PKCS12Certificate(item, f"distfile-mirror-{number}".encode()) for number, item in enumerate(anchors)
    ]
    return pkcs12.serialize_java_truststore(
        entries, serialization.BestAvailableEncryption(TRUST_STORE_PASSWORD.encode())
    )


def fingerprint(authority: Authority) -> str:
    """Return the sha256 of the certificate as ``AB:CD:…``."""
    return authority.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def parse_authority(certificate_pem: bytes, key_pem: bytes, passphrase: str | None) -> Authority:
    """Read a CA from PEM. Raises AuthorityError if the two do not fit, or clients would not accept what it signs."""
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


def _optional(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a file that need not be there, but for those that have expired."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise AuthorityError(f"{path} cannot be read: {error}") from None
    return [item for item in found if item.not_valid_after_utc > datetime.now(UTC)]


def _write(folder: Path, authority: Authority, passphrase: str | None) -> None:
    key_pem = encode_key(authority.key, passphrase)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_new_file(folder / KEY_FILE, key_pem, 0o600)
        write_new_file(folder / CERTIFICATE_FILE, certificate_pem(authority), 0o644)
    except OSError as error:
        raise AuthorityError(f"{error.filename} cannot be written: {error.strerror}") from None


def encode_key(key: CAKey, passphrase: str | None) -> bytes:
    """Return ``key`` as PEM, encrypted if there is a ``passphrase``."""
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def write_new_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not be there yet, to the disk. Raises OSError."""
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
