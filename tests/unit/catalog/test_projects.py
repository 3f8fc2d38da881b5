"""Projects, reports about them, and the figures of the home page."""

from datetime import timedelta

import pytest
from django.utils import timezone

from distfile_mirror.catalog.audit_log import EventFilters, list_events
from distfile_mirror.catalog.listing import Filters, list_files
from distfile_mirror.catalog.models import File, Hit, Image, Project
from distfile_mirror.catalog.overview import growth, in_state, totals, traffic
from distfile_mirror.catalog.projects import (
    Holdings,
    get_project,
    holdings,
    last_served,
    licences_of_project,
    list_projects,
    uses_of_project,
)
from distfile_mirror.catalog.reports import (
    artifacts_of,
    undeclared_uses,
    unused_files,
    unused_images,
    uses_without_licence,
)
from distfile_mirror.catalog.seen import Artifact, ArtifactKind, Seen, Sightings
from distfile_mirror.catalog.sightings import write_sightings
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from tests.unit.catalog import files, images

pytestmark = pytest.mark.django_db


def served(kind, row_id, label="", at=None):
    at = at or timezone.now().timestamp()
    write_sightings(Sightings([(Artifact(kind, row_id), label, Seen(1, at, at))], [], 7))


def uris(page):
    return [each.uri for each in page.items]


def test_an_artifact_counts_once_a_project_whatever_its_uses():
    file = files.present("https://example.org/a")
    files.declare("https://example.org/a", reason="another reason", licence="MIT")
    image = images.present()
    project = Project.objects.get(name="firmware")
    other = Project.objects.create(name="empty")
    found = holdings([project, other])
    assert found[project.pk] == Holdings(1, 1, file.size + image.size, 2)
    assert found[other.pk] == Holdings()
    assert holdings([]) == {}


def test_projects_by_name_in_pages():
    for name in ("b", "a", "c"):
        Project.objects.create(name=name)
    first = list_projects(limit=2)
    assert [each.name for each in first.items] == ["a", "b"]
    assert [each.name for each in list_projects(limit=2, cursor=first.next_cursor).items] == ["c"]
    assert [each.name for each in list_projects(q="C").items] == ["c"]
    with pytest.raises(InvalidInputError):
        list_files(Filters(), cursor=first.next_cursor)
    with pytest.raises(NotFoundError):
        get_project(0)


def test_what_a_project_uses_with_licences_and_last_use():
    file = files.present("https://example.org/a", licence="MIT")
    images.present()
    project = Project.objects.get(name="firmware")
    served(ArtifactKind.FILE, file.pk, "firmware", at=1000)
    served(ArtifactKind.FILE, file.pk, "other", at=2000)
    page = uses_of_project(project.pk)
    assert [str(use.file or use.image) for use in page.items][-1] == "https://example.org/a"
    assert licences_of_project(project.pk) == [("", 1), ("MIT", 1)]
    key = ArtifactKind.FILE, file.pk
    assert last_served(page.items)[key].timestamp() == 2000
    assert last_served(page.items, label="firmware")[key].timestamp() == 1000


def test_unknown_licences():
    files.present("https://example.org/a", licence="MIT")
    files.present("https://example.org/b")
    project = Project.objects.get(name="firmware")
    for page in (uses_without_licence(), uses_without_licence(project_id=project.pk)):
        assert [use.file.uri for use in page.items] == ["https://example.org/b"]
    assert uses_without_licence(project_id=0).items == []


def test_declared_and_never_asked_for():
    old, asked, new = (files.present(f"https://example.org/{name}") for name in ("old", "asked", "new"))
    long_ago = timezone.now() - timedelta(days=100)
    File.objects.filter(pk__in=[old.pk, asked.pk]).update(created_at=long_ago)
    served(ArtifactKind.FILE, asked.pk)
    assert uris(unused_files(90)) == [old.uri]
    assert uris(unused_files(90, project="firmware")) == [old.uri]
    assert uris(unused_files(90, project="other")) == []
    assert new.uri not in uris(unused_files(90))
    image = images.present()
    Image.objects.update(created_at=long_ago)
    assert unused_images(90).items == [image]
    assert unused_images(101).items == []


def test_asked_for_by_a_label_that_declared_no_use():
    file, image = files.present("https://example.org/a"), images.present()
    served(ArtifactKind.FILE, file.pk, "firmware")
    served(ArtifactKind.FILE, file.pk, "")
    served(ArtifactKind.FILE, file.pk, "website", at=2000)
    served(ArtifactKind.IMAGE, image.pk, "website", at=1000)
    page = undeclared_uses()
    assert [(hit.label, hit.kind) for hit in page.items] == [("website", "file"), ("website", "image")]
    assert artifacts_of(page.items) == {("file", file.pk): file, ("image", image.pk): image}
    assert undeclared_uses(label="firmware").items == []
    assert Hit.objects.count() == 4


def test_filters_and_orders_of_files():
    small = files.present("https://one.example.org/small", licence="MIT", actor="alice")
    large = files.present("https://two.example.org/large", actor="bob")
    File.objects.filter(pk=large.pk).update(size=10**6)
    pending = files.declare("https://one.example.org/pending").file
    assert uris(list_files(Filters(host="ONE.example.org"))) == [pending.uri, small.uri]
    assert uris(list_files(Filters(licence="MIT"))) == [small.uri]
    assert set(uris(list_files(Filters(licence="unknown")))) == {large.uri, pending.uri}
    assert uris(list_files(Filters(declared_by="bob"))) == [large.uri]
    assert uris(list_files(Filters(), order="largest")) == [large.uri, small.uri]
    assert uris(list_files(Filters(), order="smallest")) == [small.uri, large.uri]
    assert uris(list_files(Filters(), order="fetched")) == [large.uri, small.uri]
    assert uris(list_files(Filters(), order="oldest")) == [small.uri, large.uri, pending.uri]
    first = list_files(Filters(), order="largest", limit=1)
    assert uris(list_files(Filters(), order="largest", limit=1, cursor=first.next_cursor)) == [small.uri]
    with pytest.raises(InvalidInputError, match="no order"):
        list_files(Filters(), order="sideways")


def test_search_by_uri_and_by_digest():
    file = files.present("https://example.org/Foo-1.2.tar.gz")
    for text in ("foo-1", "example.org/F", file.sha256[5:20], file.sha256[:8].upper()):
        assert uris(list_files(Filters(q=text))) == [file.uri]
    assert uris(list_files(Filters(q="bar"))) == []


def test_the_figures_of_the_home_page():
    file, image = files.present("https://example.org/a"), images.present()
    failed = files.failed("https://example.org/b")
    found = totals()
    assert (found.files, found.images, found.projects) == (1, 1, 1)
    assert found.stored_bytes == file.size + image.size
    assert in_state(State.FAILED) == ([failed], [])
    days = growth(30)
    assert len(days) == 30
    assert days[-1][1:] == (2, file.size + image.size)
    assert days[0][1:] == (0, 0)
    served(ArtifactKind.FILE, file.pk)
    hours = traffic(24)
    assert len(hours) == 24
    assert hours[-1][1:] == (1, 0)


def test_changes_are_listed_and_filtered():
    files.present("https://example.org/a", actor="alice")
    images.declare(actor="bob")
    assert {event.actor for event in list_events(EventFilters(kind="image")).items} == {"bob"}
    assert {event.action for event in list_events(EventFilters(actor="alice")).items} == {"declared", "use added"}
    assert [event.subject for event in list_events(EventFilters(q="ORG/a", action="fetched")).items] == [
        "https://example.org/a"
    ]
    assert list_events(EventFilters(until=timezone.now() - timedelta(days=1))).items == []
    assert len(list_events(EventFilters(since=timezone.now() - timedelta(days=1)), limit=3).items) == 3
