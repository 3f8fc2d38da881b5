"""The header lines of a stored file."""

import hashlib

from distfile_mirror.catalog.found import FoundFile
from distfile_mirror.model.states import State
from distfile_mirror.proxy.files import head_of, served_file
from distfile_mirror.proxy.responses import Plan

CONTENT = b"hello\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def lines(plan, **headers):
    found = FoundFile("https://example.org/a", State.PRESENT, "", SHA256, len(CONTENT), headers)
    return dict(line.split(": ", 1) for line in head_of(plan, served_file(found)).decode().splitlines())


def test_whole():
    assert lines(
        Plan(200, 0, 6), **{"Content-Type": "text/plain", "Content-Disposition": 'attachment; filename="a"'}
    ) == {
        "Content-Type": "text/plain",
        "Content-Disposition": 'attachment; filename="a"',
        "ETag": f'"{SHA256}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": "sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=:",
        "Content-Length": "6",
    }


def test_nothing_is_invented_but_a_type():
    names = set(lines(Plan(200, 0, 6)))
    assert names == {"Content-Type", "ETag", "Accept-Ranges", "Repr-Digest", "Content-Length"}


def test_an_encoding_is_replayed_if_upstream_had_one():
    assert lines(Plan(200, 0, 6), **{"Content-Encoding": "gzip"})["Content-Encoding"] == "gzip"


def test_part():
    found = lines(Plan(206, 2, 3))
    assert found["Content-Range"] == "bytes 2-4/6"
    assert found["Content-Length"] == "3"


def test_not_modified_has_validators_and_no_length():
    modified = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert lines(Plan(304, 0, 0), **modified) == {"ETag": f'"{SHA256}"', **modified}


def test_not_satisfiable_tells_the_size():
    assert lines(Plan(416, 0, 0)) == {"Content-Range": "bytes */6", "Content-Length": "0"}
