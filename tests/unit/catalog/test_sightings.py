"""What proxies saw, added up."""

import pytest

from distfile_mirror.catalog.models import Hit, Miss, MissSource, Traffic
from distfile_mirror.catalog.seen import Artifact, ArtifactKind, MissKey, Seen, Sightings
from distfile_mirror.catalog.sightings import settle, write_sightings
from distfile_mirror.model.misses import MissReason

pytestmark = pytest.mark.django_db
URI = "https://example.org/a"
FILE = Artifact(ArtifactKind.FILE, 7)


def missed(name=URI, reason=MissReason.NOT_DECLARED, label="firmware", client="10.0.0.1", kind=ArtifactKind.FILE):
    return MissKey(kind, name, reason, label, client)


def test_hits_add_up_per_artifact_and_label():
    write_sightings(Sightings([(FILE, "firmware", Seen(2, 100, 200)), (FILE, "", Seen(1, 100, 100))], [], 10))
    write_sightings(Sightings([(FILE, "firmware", Seen(3, 300, 400))], [], 5))
    rows = Hit.objects.order_by("-count").values_list("kind", "artifact_id", "label", "count")
    assert list(rows) == [("file", 7, "firmware", 5), ("file", 7, "", 1)]
    hit = Hit.objects.get(label="firmware")
    assert (hit.first_at.timestamp(), hit.last_at.timestamp()) == (100, 400)
    traffic = list(Traffic.objects.values_list("hits", "misses", "sent_bytes"))
    assert [sum(column) for column in zip(*traffic, strict=True)] == [6, 0, 15]


def test_misses_are_one_a_name_with_all_who_asked():
    write_sightings(
        Sightings(
            [],
            [
                (missed(), Seen(2, 100, 200)),
                (missed(label="", client="10.0.0.2"), Seen(1, 50, 300)),
                (missed("docker.io/library/a:1", MissReason.BY_TAG, kind=ArtifactKind.IMAGE), Seen(1, 1, 1)),
            ],
        )
    )
    write_sightings(Sightings([], [(missed(reason=MissReason.PENDING), Seen(4, 500, 600))]))
    miss = Miss.objects.get(name=URI)
    assert (miss.count, miss.reason, miss.host, miss.last_at.timestamp()) == (7, "pending", "example.org", 600)
    assert Miss.objects.get(kind="image").host == "docker.io"
    rows = MissSource.objects.filter(miss=miss).order_by("pk").values_list("label", "client", "reason", "count")
    assert list(rows) == [
        ("firmware", "10.0.0.1", "not declared", 2),
        ("", "10.0.0.2", "not declared", 1),
        ("firmware", "10.0.0.1", "pending", 4),
    ]


def test_what_was_fetched_is_settled_until_it_is_missed_again():
    write_sightings(Sightings([], [(missed(), Seen(1, 1, 1))]))
    settle(ArtifactKind.FILE, [URI, "https://example.org/other"])
    assert not Miss.objects.get().is_open
    write_sightings(Sightings([], [(missed(reason=MissReason.BLOCKED), Seen(1, 2, 2))]))
    assert Miss.objects.get().is_open


def test_what_was_dismissed_stays_so():
    write_sightings(Sightings([], [(missed(), Seen(1, 1, 1))]))
    Miss.objects.update(is_dismissed=True)
    write_sightings(Sightings([], [(missed(), Seen(1, 2, 2))]))
    assert Miss.objects.get().is_dismissed
