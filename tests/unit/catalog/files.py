"""Files in every state, made by the use cases themselves."""

import hashlib
from datetime import timedelta

from distfile_mirror.catalog import moderate, queue
from distfile_mirror.catalog.declare import Declared, FileDeclaration, declare_file
from distfile_mirror.catalog.models import File

CONTENT = b"the bytes of a file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHA512 = hashlib.sha512(CONTENT).hexdigest()
SHA1 = hashlib.sha1(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER_SHA256 = hashlib.sha256(b"other bytes").hexdigest()
URI = "https://example.org/pool/foo-1.2.tar.gz"
OWNER = "downloader"
LEASE = timedelta(minutes=1)


def digests_of_content(sha256, algorithms):
    assert sha256 == SHA256
    return {name: hashlib.new(name, CONTENT).hexdigest() for name in {"sha256", *algorithms}}


def declare(uri=URI, *, actor="alice", approved=True, digests_of=digests_of_content, **given) -> Declared:
    fields = {"project": "firmware", "reason": "build dependency of the bootloader", **given}
    return declare_file(FileDeclaration(uri=uri, **fields), actor=actor, approved=approved, digests_of=digests_of)


def fetching(uri=URI, **given) -> File:
    file = declare(uri, **given).file
    queue.claim(OWNER, limit=100, lease=LEASE)
    return fresh(file)


def present(uri=URI, **given) -> File:
    file = fetching(uri, **given)
    headers = {"Content-Type": "application/gzip"}
    digests = {"sha256": SHA256}
    for name in file.expected:
        digests[name] = hashlib.new(name, CONTENT).hexdigest()
    queue.record(OWNER, [queue.Fetched(file.pk, SHA256, len(CONTENT), digests, headers, uri)])
    return fresh(file)


def failed(uri=URI, message="404 Not Found: it is not there", **given) -> File:
    file = fetching(uri, **given)
    queue.record(OWNER, [queue.Failed(file.pk, message, None)])
    return fresh(file)


def blocked(uri=URI, **given) -> File:
    return moderate.block(File, present(uri, **given).pk, reason="known to be malicious", actor="bob")


def fresh(file) -> File:
    return File.objects.get(pk=file.pk)
