"""One CA after another, without a moment at which clients trust neither.

First the next CA is made and offered to clients beside the one that signs. When they have it, it signs, and the one
before is still offered. The next one is signed by the present one, too: clients that know only that one, and
follow RFC 5280 in letting a CA sign its own successor (6.1.4, "self-issued"), get along meanwhile.
"""

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from distfile_mirror.authority.root import (
    CERTIFICATE_FILE,
    CROSS_FILE,
    KEY_FILE,
    NEXT_CERTIFICATE_FILE,
    NEXT_KEY_FILE,
    PREVIOUS_FILE,
    Authority,
    AuthorityError,
    encode_key,
    load_authority,
    make_authority,
    parse_authority,
    pem_of,
    sign_ca,
    write_new_file,
)


def has_next(folder: Path) -> bool:
    """Tell whether a next CA waits in ``folder``, whole or in part."""
    return (folder / NEXT_CERTIFICATE_FILE).exists()


def prepare(folder: Path, *, passphrase: str | None, adopted: tuple[bytes, bytes] | None = None) -> Authority:
    """Make the next CA, or take the one ``adopted`` (certificate and key as PEM), and offer it to clients.

    Raises:
        AuthorityError: if there is one already, or none that it follows, or it cannot be written.
    """
    current = load_authority(folder, passphrase=passphrase)
    if has_next(folder):
        waiting = folder / NEXT_CERTIFICATE_FILE
        raise AuthorityError(
            f"{waiting} waits already: give it to clients, then run `distfile-mirror ca rotate --activate`"
        )
    coming = parse_authority(*adopted, passphrase) if adopted else make_authority(current.certificate.subject)
    with suppress(FileNotFoundError):
        (folder / NEXT_KEY_FILE).unlink()  # of an attempt that was cut short
    _write(folder / NEXT_KEY_FILE, encode_key(coming.key, passphrase), 0o600)
    _let_read_who_reads(folder / KEY_FILE, folder / NEXT_KEY_FILE)
    _write(folder / NEXT_CERTIFICATE_FILE, pem_of(coming.chain), 0o644)
    return coming


def activate(folder: Path, *, passphrase: str | None) -> Authority:
    """Let the next CA sign from now on; the one before is still offered to clients. Return it.

    Cut short, it can be called again. Raises AuthorityError.
    """
    if not has_next(folder):
        raise AuthorityError(f"there is no next CA in {folder}: make one with `distfile-mirror ca rotate`")
    if (folder / NEXT_KEY_FILE).exists():
        current = load_authority(folder, passphrase=passphrase)
        coming = _load_next(folder, passphrase)
        _replace(folder / PREVIOUS_FILE, pem_of(current.chain))
        (folder / CROSS_FILE).unlink(missing_ok=True)
        if signed := _signed_by(current, coming):
            _replace(folder / CROSS_FILE, pem_of(signed))
        _move(folder / NEXT_KEY_FILE, folder / KEY_FILE)
    _move(folder / NEXT_CERTIFICATE_FILE, folder / CERTIFICATE_FILE)
    return load_authority(folder, passphrase=passphrase)


def finish(folder: Path) -> None:
    """Offer the CA before no longer, nor its signature. Raises AuthorityError if there is none."""
    if not (folder / PREVIOUS_FILE).exists():
        raise AuthorityError(f"there is no CA from before in {folder}")
    for name in (PREVIOUS_FILE, CROSS_FILE):
        (folder / name).unlink(missing_ok=True)


def _load_next(folder: Path, passphrase: str | None) -> Authority:
    try:
        certificate, key = (folder / name for name in (NEXT_CERTIFICATE_FILE, NEXT_KEY_FILE))
        return parse_authority(certificate.read_bytes(), key.read_bytes(), passphrase)
    except OSError as error:
        raise AuthorityError(f"{error.filename} cannot be read: {error.strerror}") from None


def _signed_by(current: Authority, coming: Authority) -> list[x509.Certificate]:
    """Return the certificate of ``coming`` as ``current`` signs it; none where it has another name.

    A CA of another name would be one more step than the path length of ours allows.
    """
    certificate = current.certificate
    if coming.certificate.subject != certificate.subject:
        return []
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject = certificate.subject
    return [
        sign_ca(coming.key.public_key(), subject, subject, current.key, valid_for=left, issuer_identifier=identifier)
    ]


def _let_read_who_reads(present: Path, coming: Path) -> None:
    """Give the next key the owner, group and mode of the present one: proxies may run as another user than we do."""
    try:
        status = present.stat()
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(coming, status.st_uid, status.st_gid)
        coming.chmod(stat.S_IMODE(status.st_mode))
    except OSError as error:
        coming.unlink()
        raise AuthorityError(
            f"{coming} cannot be given the owner and mode of {present}: {error.strerror}; do this as who made that"
        ) from None


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        write_new_file(path, content, mode)
    except OSError as error:
        raise AuthorityError(f"{path} cannot be written: {error.strerror}") from None


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    _write(temporary, content, 0o644)
    _move(temporary, path)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
        fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise AuthorityError(f"{target} cannot be replaced: {error.strerror}") from None
