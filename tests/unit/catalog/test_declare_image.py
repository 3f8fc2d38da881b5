"""Declaring images: a use is added, what is wanted only grows, and what is there is served on meanwhile."""

import threading

import pytest
from django.db import connection

from distfile_mirror.catalog import image_queue, moderate
from distfile_mirror.catalog.declare_image import declare_image
from distfile_mirror.catalog.image_facts import TagEvidence
from distfile_mirror.catalog.models import AuditEvent, Image, Manifest, Project, Registry, Use
from distfile_mirror.catalog.platform_choice import choose_platforms
from distfile_mirror.errors import InvalidInputError, NotFoundError
from distfile_mirror.model.states import State
from tests.unit.catalog.files import OWNER
from tests.unit.catalog.images import (
    AMD64,
    ARM64,
    INDEX,
    ImageDeclaration,
    amd64_child,
    arrived,
    blocked,
    claim_all,
    declare,
    digest_of,
    failed,
    fetching,
    fresh,
    present,
)

pytestmark = pytest.mark.django_db


def actions(image):
    events = AuditEvent.objects.filter(subject_kind="image", subject_id=image.pk).order_by("pk")
    return list(events.values_list("action", flat=True))


def test_a_new_image_is_due_at_once_with_its_use_and_its_history():
    declared = declare(registry="https://Registry.Test:443/v2/", tag="1.2", licence="mit", actor="carol")
    image = fresh(declared.image)
    assert declared.created
    assert declared.use_added
    assert str(image) == f"registry.test/team/tool@{digest_of(AMD64)}"
    assert (image.state, image.tag, image.platforms) == (State.PENDING, "1.2", ["linux/amd64"])
    assert image.due_at is not None
    use = image.uses.get()
    assert (use.project.name, use.licence, use.declared_by) == ("firmware", "MIT", "carol")
    assert actions(image) == ["declared", "use added"]
    assert AuditEvent.objects.first().subject == str(image)


def test_the_same_again_changes_nothing():
    first = declare()
    events = AuditEvent.objects.count()
    again = declare()
    assert again.image.pk == first.image.pk
    assert not again.created
    assert not again.use_added
    assert (Image.objects.count(), Use.objects.count(), AuditEvent.objects.count()) == (1, 1, events)


@pytest.mark.parametrize("name", ["index.docker.io", "https://registry-1.docker.io/v2/", "DOCKER.io"])
def test_docker_hub_is_one_registry(name):
    first = declare(registry="docker.io", repository="debian")
    again = declare(registry=name, repository="library/debian")
    assert again.image.pk == first.image.pk
    assert Registry.objects.get().name == "docker.io"


@pytest.mark.parametrize("other", [{"project": "toolchain"}, {"reason": "for gdb"}, {"licence": "MIT"}])
def test_another_use_is_added(other):
    declare()
    again = declare(**other)
    assert again.use_added
    assert again.image.uses.count() == 2


def test_the_platforms_by_default_are_those_of_whoever_declares_first():
    given = {"registry": "a.test", "repository": "b", "digest": digest_of(INDEX), "project": "p", "reason": "r"}
    declared = declare_image(
        ImageDeclaration(**given), actor="a", approved=True, default_platforms=("linux/riscv64", "linux/arm64")
    )
    assert declared.image.platforms == ["linux/riscv64", "linux/arm64"]


def test_what_a_present_index_lacks_is_refused_unless_it_is_only_a_default():
    image = present(INDEX)
    with pytest.raises(InvalidInputError, match=r"no linux/riscv64; it has: linux/amd64, linux/arm64"):
        declare(INDEX, platforms=["linux/riscv64"])
    given = {"registry": "registry.test", "repository": "team/tool", "project": "other", "reason": "r"}
    defaults = ("linux/riscv64",)
    declare_image(
        ImageDeclaration(digest=digest_of(INDEX), **given), actor="a", approved=True, default_platforms=defaults
    )
    assert fresh(image).state == State.PRESENT
    assert fresh(image).uses.count() == 2


@pytest.mark.parametrize("further", [{"platforms": ["linux/arm64"]}, {"with_referrers": True}])
@pytest.mark.parametrize("make", [present, failed])
def test_more_is_fetched_beside_what_is_there(make, further):
    image = make(INDEX)
    declare(INDEX, **further)
    now = fresh(image)
    assert (now.state, now.message, now.attempts) == (State.PENDING, "", 0)
    assert now.due_at is not None
    assert now.with_referrers == further.get("with_referrers", False)
    assert now.platforms == ["linux/amd64", *further.get("platforms", ())]
    assert Manifest.objects.exists() == (make is present)
    assert actions(image)[-1] == "amended"


def test_a_further_use_of_a_failed_image_is_nothing_new_for_the_downloader():
    image = failed()
    declare(project="toolchain")
    assert fresh(image).state == State.FAILED


def test_an_image_without_platforms_to_choose_from_is_whole():
    image = present(AMD64)
    declare(AMD64, platforms=["linux/arm64"])
    assert fresh(image).state == State.PRESENT


def test_what_is_chosen_while_it_is_fetched_is_fetched_after_that():
    image = fetching(INDEX)
    choose_platforms(image.pk, ["linux/arm64"], actor="alice")
    assert fresh(image).state == State.FETCHING
    image_queue.record(OWNER, [arrived(image.pk, INDEX, amd64_child())])
    now = fresh(image)
    assert now.state == State.PENDING
    assert now.parts.count() == 3, "what came is kept and can be served"
    (claim,) = claim_all()
    assert claim.platforms == ["linux/amd64", "linux/arm64"]
    assert not fresh(image).wants_more


def test_what_is_chosen_while_it_is_blocked_is_fetched_when_it_is_unblocked():
    image = blocked(INDEX)
    choose_platforms(image.pk, ["linux/arm64"], actor="alice")
    assert fresh(image).state == State.BLOCKED
    moderate.unblock(Image, image.pk, actor="alice")
    assert fresh(image).state == State.PENDING
    assert len(claim_all()) == 1


def test_choosing():
    image = present(INDEX)
    events = AuditEvent.objects.count()
    choose_platforms(image.pk, ["linux/amd64"], actor="dave")
    assert fresh(image).state == State.PRESENT
    assert AuditEvent.objects.count() == events
    choose_platforms(image.pk, ["all"], actor="dave")
    event = AuditEvent.objects.latest("pk")
    assert (event.actor, event.action) == ("dave", "amended")
    assert event.before["platforms"] == ["linux/amd64"]
    assert event.after["platforms"] == ["all"]


@pytest.mark.parametrize("given", [["linux"], [], ["none", "linux/amd64"], ["linux/riscv64"]])
def test_a_choice_that_cannot_be_is_named(given):
    image = present(INDEX)
    with pytest.raises(InvalidInputError) as refused:
        choose_platforms(image.pk, given, actor="dave")
    assert set(refused.value.problems) == {"platforms"}
    assert fresh(image).platforms == ["linux/amd64"]


def test_evidence_is_kept_and_the_first_tag_stays():
    one, two = (TagEvidence(tag, digest_of(AMD64), "2026-01-02T03:04:05Z") for tag in ("1", "1.2"))
    image = declare(tag="1", evidence=[one]).image
    declare(tag="1.2", evidence=[two])
    declare(tag="1.2", evidence=[two])
    assert [each["tag"] for each in fresh(image).evidence] == ["1", "1.2"]
    assert fresh(image).tag == "1"
    assert actions(image) == ["declared", "use added", "tag resolved"]


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"registry": ""}, {"registry"}),
        ({"registry": "ftp://x.test"}, {"registry"}),
        ({"repository": "Team"}, {"repository"}),
        ({"digest": "sha256:abc"}, {"digest"}),
        ({"digest": ""}, {"digest"}),
        ({"tag": "a b"}, {"tag"}),
        ({"platforms": ["linux"]}, {"platforms"}),
        ({"platforms": []}, {"platforms"}),
        (
            {"registry": "a b", "digest": "x", "project": " ", "reason": "", "licence": "("},
            {"registry", "digest", "project", "reason", "licence"},
        ),
    ],
)
def test_every_wrong_field_is_named(given, fields):
    with pytest.raises(InvalidInputError) as refused:
        declare(**given)
    assert set(refused.value.problems) == fields
    assert not Image.objects.exists()
    assert not Registry.objects.exists()


def test_images_are_retried_blocked_and_unblocked_as_files_are():
    image = failed()
    assert moderate.retry(Image, image.pk, actor="dave").state == State.PENDING
    before = moderate.blocks_revision()
    image = present(ARM64)
    moderate.block(Image, image.pk, reason="malicious", actor="dave")
    assert (fresh(image).state, fresh(image).message) == (State.BLOCKED, "malicious")
    moderate.unblock(Image, image.pk, actor="dave")
    assert fresh(image).state == State.PRESENT
    assert moderate.blocks_revision() == before + 2
    assert actions(image)[-2:] == ["blocked", "unblocked"]
    with pytest.raises(NotFoundError, match="there is no image 99"):
        moderate.retry(Image, 99, actor="dave")
    with pytest.raises(NotFoundError):
        choose_platforms(99, ["all"], actor="dave")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_row():
    results, faults, start = [], [], threading.Barrier(8)

    def run(number):
        try:
            start.wait()
            results.append(declare(project=f"project {number % 4}"))
        except Exception as error:
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert Image.objects.count() == 1
    assert sum(result.created for result in results) == 1
    assert (Project.objects.count(), Use.objects.count()) == (4, 4)
