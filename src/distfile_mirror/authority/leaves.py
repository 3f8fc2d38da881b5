"""Certificates made on the spot: one per set of names, kept while they are good, bounded in number.

A worker has one key (ECDSA P-256) for all its leaves, made when it starts and never written down.
What a leaf must carry: RFC 5280, 4.2.1, and what strict clients check; its authority key identifier
is the CA's subject key identifier, byte for byte.
"""

import ipaddress
import os
import ssl
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from threading import Lock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from distfile_mirror.authority.root import BACKDATED, Authority, pem_of

VALID_FOR = timedelta(days=30)
REISSUE_AFTER_SECONDS = 20 * 86400.0
MAX_COMMON_NAME = 63

Names = tuple[str, ...]


class LeafIssuer:
    """TLS contexts by names. Safe to use from several threads."""

    def __init__(self, authority: Authority, *, capacity: int) -> None:
        self._authority = authority
        self._capacity = capacity
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._contexts: OrderedDict[Names, tuple[float, ssl.SSLContext]] = OrderedDict()
        self._lock = Lock()
        self.issued = 0

    def cached(self, names: Names) -> ssl.SSLContext | None:
        """Return the context for ``names`` if it is there and its certificate still good for long."""
        found = self._contexts.get(names)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def context_for(self, names: Names) -> ssl.SSLContext:
        """Return a server's TLS context whose certificate has ``names`` (host names or addresses, IPv6 bare)."""
        if context := self.cached(names):
            return context
        context = self._make(names)
        with self._lock:
            self.issued += 1
            self._contexts[names] = (time.monotonic() + self._good_for(), context)
            self._contexts.move_to_end(names)
            while len(self._contexts) > self._capacity:
                self._contexts.popitem(last=False)
        return context

    def _good_for(self) -> float:
        left = (self._authority.certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
        return min(REISSUE_AFTER_SECONDS, left / 2)

    def _make(self, names: Names) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        # Clients that open a connection for every request resume no session: tickets would be made for nothing.
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        leaf = issue_leaf(self._authority, self._key.public_key(), names)
        _load_chain(context, pem_of((leaf, *self._authority.sent_along)) + self._key_pem)
        return context


def issue_leaf(authority: Authority, public_key: ec.EllipticCurvePublicKey, names: Names) -> x509.Certificate:
    """Sign a server certificate for ``names``, the first of which is its common name if that can be."""
    ca = authority.certificate
    now = datetime.now(UTC).replace(microsecond=0)
    common_name = names[0] if len(names[0]) <= MAX_COMMON_NAME else ""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATED, ca.not_valid_before_utc))
        .not_valid_after(min(now + VALID_FOR, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=not common_name)
        .sign(authority.key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load_chain(context: ssl.SSLContext, pem: bytes) -> None:
    # The ssl module reads certificates from files only; this one is in memory and has no name.
    fd = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _leaf_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
