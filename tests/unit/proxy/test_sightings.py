"""Gathering what was seen: bounded, written in batches, dropped and counted when it cannot be."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from distfile_mirror.catalog.found import FoundFile, MissingImage, Why
from distfile_mirror.catalog.seen import Artifact, ArtifactKind, MissKey
from distfile_mirror.errors import UnavailableError
from distfile_mirror.model.misses import MissReason
from distfile_mirror.model.states import State
from distfile_mirror.proxy import sightings
from distfile_mirror.proxy.decide import Serve
from distfile_mirror.proxy.misses import miss_key, refused_key
from distfile_mirror.proxy.registry_paths import parse_mirror_target, parse_registry_target
from distfile_mirror.proxy.sightings import SightingsGatherer

URI = "https://example.org/a"
FILE = Artifact(ArtifactKind.FILE, 1)
DIGEST = "sha256:" + "ab" * 32


class Catalog:
    def __init__(self):
        self.written = []
        self.away = False

    def write(self, seen):
        if self.away:
            raise UnavailableError("the database does not answer now")
        self.written.append(seen)


@pytest.fixture
def catalog():
    return Catalog()


@pytest.fixture
def gather(catalog):
    with ThreadPoolExecutor(1) as executor:
        gatherer = SightingsGatherer(write=catalog.write, executor=executor)

        def flush(sent=0):
            gatherer.flush(sent)
            executor.submit(lambda: None).result()

        gatherer.flush_and_wait = flush
        yield gatherer


def note(number=0, label=""):
    return MissKey(ArtifactKind.FILE, f"{URI}{number}", MissReason.NOT_DECLARED, label, "10.0.0.1")


def test_what_is_alike_is_one_note(gather, catalog):
    for _ in range(3):
        gather.hit(FILE, "firmware")
    gather.hit(FILE, "other")
    gather.miss(note())
    gather.miss(note())
    gather.flush_and_wait(100)
    (seen,) = catalog.written
    assert [(artifact, label, each.count) for artifact, label, each in seen.hits] == [
        (FILE, "firmware", 3),
        (FILE, "other", 1),
    ]
    assert [(key, each.count) for key, each in seen.misses] == [(note(), 2)]
    assert seen.sent_bytes == 100
    gather.hit(FILE, "")
    gather.flush_and_wait(150)
    assert catalog.written[1].sent_bytes == 50
    gather.flush_and_wait(150)
    assert len(catalog.written) == 2


def test_memory_is_bounded(gather, catalog):
    for number in range(sightings.MAX_ENTRIES + 5):
        gather.miss(note(number))
        gather.hit(Artifact(ArtifactKind.FILE, number), "")
    assert gather.dropped == 10
    gather.flush_and_wait()
    assert len(catalog.written[0].misses) == sightings.MAX_ENTRIES


def test_with_the_database_away_notes_are_dropped_and_counted(gather, catalog):
    catalog.away = True
    gather.miss(note())
    gather.hit(FILE, "")
    gather.flush_and_wait()
    assert gather.dropped == 2
    catalog.away = False
    gather.miss(note())
    gather.flush_and_wait()
    assert len(catalog.written) == 1


def file(state):
    return FoundFile(URI, state, "", "", 0)


@pytest.mark.parametrize(
    ("uri", "found", "reason"),
    [
        (URI, None, MissReason.NOT_DECLARED),
        ("https://example.org/a.git/info/refs?service=git-upload-pack", None, MissReason.GIT),
        (URI, file(State.PENDING), MissReason.PENDING),
        (URI, file(State.FETCHING), MissReason.PENDING),
        (URI, file(State.FAILED), MissReason.FAILED),
        (URI, file(State.BLOCKED), MissReason.BLOCKED),
        (URI, file(State.REQUESTED), MissReason.REQUESTED),
        (URI, file(State.REJECTED), MissReason.REJECTED),
    ],
)
def test_why_files_miss(uri, found, reason):
    assert miss_key(Serve(uri), found, "firmware", "10.0.0.1") == MissKey(
        ArtifactKind.FILE, uri, reason, "firmware", "10.0.0.1"
    )


@pytest.mark.parametrize(
    ("why", "state", "reason"),
    [
        (Why.NOT_DECLARED, None, MissReason.NOT_DECLARED),
        (Why.BY_TAG, None, MissReason.BY_TAG),
        (Why.PLATFORM_NOT_CHOSEN, State.PRESENT, MissReason.PLATFORM_NOT_CHOSEN),
        (Why.DECLARED, State.FAILED, MissReason.FAILED),
        (Why.DECLARED, State.BLOCKED, MissReason.BLOCKED),
    ],
)
def test_why_images_miss(why, state, reason):
    target = f"/v2/library/debian/manifests/{DIGEST}"
    missing = MissingImage("docker.io", "library/debian", DIGEST, why, state=state)
    for request in (parse_registry_target("registry-1.docker.io", target), parse_mirror_target(target)):
        key = miss_key(Serve("x", request), missing, "", "10.0.0.1")
        assert key == MissKey(ArtifactKind.IMAGE, f"docker.io/library/debian@{DIGEST}", reason, "", "10.0.0.1")


def test_parts_of_images_are_not_noted():
    request = parse_mirror_target(f"/v2/library/debian/blobs/{DIGEST}")
    missing = MissingImage("docker.io", "library/debian", DIGEST, Why.NOT_A_PART)
    assert miss_key(Serve("x", request), missing, "", "") is None


def test_wrong_methods():
    assert refused_key(URI, "", "").reason is MissReason.WRONG_METHOD
    assert refused_key("https://example.org/a.git/git-upload-pack", "", "").reason is MissReason.GIT
    assert refused_key("mirror:/v2/a", "", "") is None
