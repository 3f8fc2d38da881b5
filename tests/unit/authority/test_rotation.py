"""One CA after another: what is offered when, and whom a client that verifies strictly believes."""

import socket
import ssl
import stat
import threading

import pytest
from cryptography import x509

from distfile_mirror.authority import root, rotation
from distfile_mirror.authority.leaves import LeafIssuer
from distfile_mirror.authority.root import AuthorityError, create_authority, load_anchors, load_authority


def trusting(*certificates):
    context = ssl.create_default_context(cadata=root.pem_of(certificates).decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def is_believed(authority, *anchors):
    """Tell whether a strict client that trusts ``anchors`` believes what ``authority`` signs."""
    server = LeafIssuer(authority, capacity=5).context_for(("example.org",))
    ours, theirs = socket.socketpair()

    def serve():
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting(*anchors).wrap_socket(ours, server_hostname="example.org").close()
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join(5)
    return True


def test_a_whole_rotation(tmp_path):
    first = create_authority(tmp_path)
    coming = rotation.prepare(tmp_path, passphrase=None)
    assert coming.certificate.public_key() != first.certificate.public_key()
    assert stat.S_IMODE((tmp_path / "next.key").stat().st_mode) == 0o600
    between = load_authority(tmp_path)
    assert between.certificate == first.certificate
    assert set(between.anchors) == set(load_anchors(tmp_path)) == {first.certificate, coming.certificate}

    second = rotation.activate(tmp_path, passphrase=None)
    assert second.certificate == coming.certificate
    assert set(second.anchors) == {first.certificate, coming.certificate}
    assert not (tmp_path / "next.pem").exists()
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    for anchors in ([first.certificate], [coming.certificate], [first.certificate, coming.certificate]):
        assert is_believed(second, *anchors)
    assert not is_believed(second, create_authority(tmp_path / "other").certificate)

    rotation.finish(tmp_path)
    last = load_authority(tmp_path)
    assert last.anchors == (coming.certificate,)
    assert is_believed(last, coming.certificate)
    assert not is_believed(last, first.certificate)


def test_what_is_not_due_is_refused(tmp_path):
    with pytest.raises(AuthorityError, match="ca init"):
        rotation.prepare(tmp_path, passphrase=None)
    create_authority(tmp_path)
    with pytest.raises(AuthorityError, match="ca rotate"):
        rotation.activate(tmp_path, passphrase=None)
    with pytest.raises(AuthorityError, match="no CA from before"):
        rotation.finish(tmp_path)
    rotation.prepare(tmp_path, passphrase=None)
    with pytest.raises(AuthorityError, match="waits already"):
        rotation.prepare(tmp_path, passphrase=None)


def test_an_activation_that_was_cut_short_is_gone_on_with(tmp_path):
    create_authority(tmp_path)
    coming = rotation.prepare(tmp_path, passphrase=None)
    (tmp_path / "next.key").replace(tmp_path / "ca.key")  # and then the power was cut
    with pytest.raises(AuthorityError, match="not that of the certificate"):
        load_authority(tmp_path)
    assert rotation.activate(tmp_path, passphrase=None).certificate == coming.certificate


def test_a_next_ca_of_ones_own_and_a_passphrase(tmp_path):
    create_authority(tmp_path / "ca", passphrase="open sesame")
    own = create_authority(tmp_path / "own", name="Corporate CA")
    pair = tuple((tmp_path / "own" / name).read_bytes() for name in ("ca.pem", "ca.key"))
    rotation.prepare(tmp_path / "ca", passphrase="open sesame", adopted=pair)
    assert b"ENCRYPTED" in (tmp_path / "ca" / "next.key").read_bytes()
    second = rotation.activate(tmp_path / "ca", passphrase="open sesame")
    assert second.certificate == own.certificate
    assert second.cross == ()  # of another name: the path length of the first does not allow it
    assert is_believed(second, own.certificate)


def test_each_rotation_leaves_a_signature_of_the_one_before_only(tmp_path):
    certificates = [create_authority(tmp_path).certificate]
    for _ in range(2):
        rotation.prepare(tmp_path, passphrase=None)
        certificates.append(rotation.activate(tmp_path, passphrase=None).certificate)
    third = load_authority(tmp_path)
    assert third.anchors == (certificates[2], certificates[1])
    assert [is_believed(third, each) for each in certificates] == [False, True, True]
    assert x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()) == certificates[2]


def test_who_may_read_the_key_may_read_the_next_one(tmp_path):
    create_authority(tmp_path)
    (tmp_path / root.KEY_FILE).chmod(0o640)
    rotation.prepare(tmp_path, passphrase=None)
    assert stat.S_IMODE((tmp_path / root.NEXT_KEY_FILE).stat().st_mode) == 0o640
    rotation.activate(tmp_path, passphrase=None)
    assert stat.S_IMODE((tmp_path / root.KEY_FILE).stat().st_mode) == 0o640
