"""For machines that watch."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

from distfile_mirror.catalog import rounds
from distfile_mirror.errors import StorageError
from tests.unit.catalog import images
from tests.unit.catalog.files import declare, failed, fetching

pytestmark = pytest.mark.django_db


def broken_database(_execute, _sql, _parameters, _many, _context):
    raise OperationalError("server closed the connection")


def samples(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.content.decode())
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}


def test_healthy_is_when_everything_answers(client):
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert client.head("/health").status_code == 200
    assert client.post("/health").status_code == 405


def test_a_blob_store_that_does_not_answer_is_named(client, settings, context):
    def check():
        raise StorageError("the disk is gone")

    settings.DISTFILE_MIRROR = replace(context, check_blobs=check)
    response = client.get("/health")
    assert (response.status_code, response.json()["failures"]) == (503, {"blob_store": "the disk is gone"})


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_named(client):
    with connection.execute_wrapper(broken_database):
        response = client.get("/health")
        metrics = samples(client)
    assert response.status_code == 503
    assert set(response.json()["failures"]) == {"database"}
    assert metrics["distfile_mirror_database_up",] == 0
    assert ("distfile_mirror_artifacts", "file", "pending") not in metrics
    assert client.get("/health").status_code == 200


def test_metrics_count_images(client):
    image = images.present()
    images.declare(images.INDEX)
    after = samples(client)
    assert (
        after["distfile_mirror_artifacts", "image", "present"]
        == after["distfile_mirror_artifacts", "image", "pending"]
        == 1
    )
    assert after["distfile_mirror_images_bytes",] == image.size
    assert after["distfile_mirror_queue_due", "image"] == 1
    assert 0 <= after["distfile_mirror_queue_oldest_due_seconds", "image"] < 60


def test_metrics_count_files_queue_and_requests(client):
    failed("https://example.org/1")
    fetching("https://example.org/2")
    declare("https://example.org/3")
    before = samples(client)
    client.get("/nowhere")
    client.generic("BREW", "/")
    after = samples(client)
    assert after["distfile_mirror_artifacts", "failed", "file"] == 1
    assert after["distfile_mirror_artifacts", "file", "pending"] == 1
    assert after["distfile_mirror_artifacts", "blocked", "file"] == 0
    assert after["distfile_mirror_queue_due", "file"] == 1
    assert 0 <= after["distfile_mirror_queue_oldest_due_seconds", "file"] < 60
    assert after["process_resident_memory_bytes",] > 0
    for key in (("4xx", "GET"), ("4xx", "other")):
        name = ("distfile_mirror_admin_requests_total", *sorted(key))
        assert after[name] == before.get(name, 0) + 1


def test_metrics_tell_when_a_round_was_begun_and_finished(client):
    names = [f"distfile_mirror_round_{each}_timestamp_seconds" for each in ("started", "finished")]
    assert (names[0], rounds.BLOBS) not in samples(client)
    going = rounds.take(rounds.BLOBS, "verify", lease=timedelta(minutes=2), again_after=timedelta(days=30))
    began, finished = (samples(client)[name, rounds.BLOBS] for name in names)
    assert time.time() - 60 < began <= time.time()
    assert finished == 0
    rounds.finish(going)
    assert [began <= samples(client)[name, rounds.BLOBS] <= time.time() for name in names] == [True, True]
