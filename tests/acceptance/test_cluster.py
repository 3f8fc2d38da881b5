"""A cluster under load, whose parts are killed, stopped and unplugged: nobody reads anything wrong, nothing is lost.

Each test leaves the cluster whole, and none of its processes is started again but those that a test killed.
"""

import hashlib
import json
import time
from functools import partial

import pytest

from tests.acceptance.cluster import LEASE_SECONDS, REGISTRY, USE, Cluster, Declarer, Load
from tests.acceptance.cluster_upstream import content_of, url_of
from tests.postgresql_server import PACKAGE, find_binaries
from tests.requirements import skip

pytestmark = pytest.mark.timeout(240)

OUTAGE_SECONDS = 30
# Long enough for connections to be given up, again and again.
HANGING_SECONDS = 20
PLAIN = ["hot-100-1", *(f"hot-40000-{n}" for n in range(2, 5)), "hot-300000-5"]
SECRET = ["secret-5000-6", *(f"secret-40000-{n}" for n in range(7, 10)), "secret-3000000-10"]
HOT = PLAIN + SECRET
COLD = [f"cold-{size}-{n}" for n in range(12) for size in (2_000, 200_000, 2_000_000)]
# What a client may wait to hear that the database or the store is away.
PATIENCE_SECONDS = 15
# What a client may wait for what was served before.
HOT_SECONDS = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if not find_binaries():
        skip(f"the package {PACKAGE} is not installed")
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        for number, name in enumerate(HOT + COLD):
            assert running.declare(name, number % 2) == 201
        running.wait_until_present(HOT + COLD)
        yield running


@pytest.fixture(scope="module")
def image(cluster):
    """The paths of an image's parts at a proxy, and their bytes."""
    layer = content_of("layer-1500000-0")
    pushed = cluster.registry.push_image("team/app", [layer])
    reference = f"{REGISTRY}/team/app@{pushed['digest']}"
    status, declared = cluster.api("/images", {"reference": reference, **USE})
    assert status == 201, declared
    until = time.monotonic() + 30
    while cluster.api(f"/images/{declared['id']}")[1]["state"] != "present":
        assert time.monotonic() < until, cluster.api(f"/images/{declared['id']}")
        time.sleep(0.1)
    manifest = cluster.registry.manifests["team/app", pushed["digest"]][0]
    paths = {f"manifests/{pushed['digest']}": manifest, f"blobs/sha256:{hashlib.sha256(layer).hexdigest()}": layer}
    return {f"/v2/{REGISTRY}/team/app/{path}": content for path, content in paths.items()}


@pytest.fixture(scope="module")
def load(cluster, image):
    contents = {**{url_of(name): content_of(name) for name in HOT}, **image}
    sha256 = {target: hashlib.sha256(content).hexdigest() for target, content in contents.items()}
    with Load(cluster, sha256) as running:
        running.wait_until_warm()
        yield running


@pytest.fixture
def cold():
    """Files that no test has asked for yet: one small, one of some size, one large."""
    taken = [COLD.pop() for _ in range(3)]
    assert len(taken) == 3
    return taken


def hot(answers):
    """Return the answers about what was served before."""
    return [answer for answer in answers if "never" not in answer.target]


def faults(answers):
    return [answer for answer in answers if answer.status not in {200, 404} or (answer.status == 200) != answer.right]


def assert_all_served(answers):
    assert len(answers) > 20
    assert faults(answers) == []
    assert [answer for answer in answers if answer.took > HOT_SECONDS] == []


def assert_whole(load):
    """See to it that from now on everybody is served."""
    since = time.time()
    time.sleep(2)
    assert_all_served(load.answers(since))


def assert_strangers_told(answers):
    """They are told in time that it is not there, or that nobody knows now and when to ask again."""
    asked = [answer for answer in answers if "never" in answer.target]
    assert asked
    assert [one for one in asked if not (one.status == 404 or (one.status == 503 and one.retry_after))] == []
    assert [one for one in asked if one.took > PATIENCE_SECONDS] == []
    return {answer.status for answer in asked}


def test_any_process_is_killed(cluster, load):
    with Declarer(cluster, "killed") as declarer:
        up = time.time()
        for component in (*cluster.of("proxy"), *cluster.of("admin")):
            whole = up
            component.kill()
            time.sleep(1)
            component.start().wait_until_up()
            up = time.time()
            time.sleep(1)
            away = [answer for answer in load.answers(whole, up) if answer.fault]
            assert {answer.proxy for answer in away} <= {f"{component.address}:{component.port}"}
            assert faults(load.answers(up)) == []
    load.wait_until_warm()
    assert len(declarer.declared) > 10
    assert [status for status, _took in declarer.refused if isinstance(status, int)] == []
    cluster.wait_until_present(declarer.declared)


def test_downloaders_are_killed_half_way(cluster, load):
    for number, component in enumerate((*cluster.of("files"), *cluster.of("images"))):
        names = [f"slow-{size}-{number}" for size in (150_000, 4_000_000, 4_000_001, 4_000_002, 4_000_003)]
        for name in names:
            assert cluster.declare(name) == 201
        for name in names:
            cluster.upstream.wait_until_begun(name)
        component.kill()
        component.start()
        time.sleep(1)
        for name in names:
            cluster.upstream.open_gate(name)
        cluster.wait_until_present(names)
    assert_whole(load)


def without_database(cluster, load, cold, stop, start, *, seconds):
    """Stop the database, and start it again."""
    slow = f"slow-3000000-without-database-{seconds}"
    assert cluster.declare(slow) == 201
    cluster.upstream.wait_until_begun(slow)
    load.wait_until_warm()
    with Declarer(cluster, f"outage{seconds}") as declarer:
        time.sleep(1)
        begun = time.time()
        stop()
        time.sleep(2)
        for name in cold:
            status, headers, _body = cluster.get(name, proxy=1)
            assert (status, bool(headers["Retry-After"])) == (503, True)
        cluster.upstream.open_gate(slow)
        time.sleep(max(0.0, begun + seconds - time.time()))
        ended = time.time()
        start()
        answers = load.answers(begun, ended)
        assert_all_served(hot(answers))
        assert 503 in assert_strangers_told(answers)
        recovered(cluster, cold)
        time.sleep(1)
    assert {status for status, _took in declarer.refused} == {503}
    assert max(took for _status, took in declarer.refused) < PATIENCE_SECONDS
    cluster.wait_until_present([slow, *declarer.declared])
    assert_whole(load)


def recovered(cluster, names):
    """See to it that files are served soon."""
    until = time.monotonic() + 2 * PATIENCE_SECONDS
    for name in names:
        while (answer := cluster.get(name, proxy=1))[0] == 503:
            assert time.monotonic() < until, answer
            time.sleep(0.2)
        assert (answer[0], answer[2] == content_of(name)) == (200, True)


def test_the_database_is_stopped(cluster, load, cold):
    database = cluster.database
    without_database(cluster, load, cold, lambda: database.stop("immediate"), database.start, seconds=OUTAGE_SECONDS)


def test_the_database_is_unplugged(cluster, load, cold):
    network = cluster.network
    unplug, plug = partial(network.unplug, "database"), partial(network.plug, "database")
    without_database(cluster, load, cold, unplug, plug, seconds=HANGING_SECONDS)


@pytest.mark.parametrize(("how", "seconds"), [("stop", OUTAGE_SECONDS), ("pause", HANGING_SECONDS)])
def test_the_store_is_away(cluster, load, cold, how, seconds):
    slow = [f"slow-{size}-{how}" for size in (20_000, 3_000_000)]
    for name in slow:
        assert cluster.declare(name) == 201
    for name in slow:
        cluster.upstream.wait_until_begun(name)
    load.wait_until_warm()
    with Declarer(cluster, f"store{how}") as declarer:
        time.sleep(1)
        begun = time.time()
        getattr(cluster.store, how)()
        for name in slow:
            cluster.upstream.open_gate(name)
        for name in cold:
            status, headers, _body = cluster.get(name, proxy=1)
            assert (status, bool(headers["Retry-After"])) == (503, True)
        time.sleep(max(0.0, begun + seconds - time.time()))
        answers = load.answers(begun)
        assert_all_served(hot(answers))
        assert assert_strangers_told(answers) == {404}
        cluster.store.ensure_up()
        recovered(cluster, cold)
    assert declarer.refused == []
    assert declarer.declared
    cluster.wait_until_present([*slow, *declarer.declared])


@pytest.mark.parametrize("seconds", [LEASE_SECONDS + 2, LEASE_SECONDS + 12])
def test_a_downloader_is_cut_off(cluster, load, seconds):
    slow = f"slow-5000000-{seconds}"
    assert cluster.declare(slow) == 201
    cluster.upstream.wait_until_begun(slow)
    owner = cluster.states()[slow][1]
    victim = next(
        name for name in cluster.components if (cluster.folder / name / "run" / "downloaders" / owner).exists()
    )
    cluster.network.unplug(victim)
    begun = time.monotonic()
    cluster.upstream.wait_until_begun(slow, 2)
    assert LEASE_SECONDS - 4 < time.monotonic() - begun < LEASE_SECONDS + 6
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    cluster.network.plug(victim)
    time.sleep(3)
    assert cluster.states()[slow][1] not in {"", owner}
    cluster.upstream.open_gate(slow)
    cluster.wait_until_present([slow])
    assert cluster.components[victim].is_running()
    assert_whole(load)


def test_nothing_is_lost_or_wrong_or_fetched_twice(cluster, load):
    states = cluster.states()
    assert len(states) >= len(HOT) + len(COLD)
    assert {state for state, _owner in states.values()} == {"present"}
    for name in states:
        status, _headers, body = cluster.get(name)
        assert (status, body == content_of(name)) == (200, True), name
    assert [answer for answer in load.answers() if answer.status in {200, 206} and not answer.right] == []
    time.sleep(1)
    # Downloaders were killed while they had no file whole. One that is whole and not recorded yet is fetched again:
    # nobody knows of it.
    assert {name: count for name, count in cluster.completed.items() if count != 1} == {}
    assert set(cluster.completed) == set(states)
    for component in cluster.of("files"):
        assert component.stop() == 0
        component.start()
    until = time.monotonic() + 10
    while left := cluster.spools():
        assert time.monotonic() < until, left
        time.sleep(0.2)
    verified = cluster.run("verify", "--rate", "0")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["blobs"] >= len(states)
    assert all(component.is_running() for component in cluster.components.values())
    assert "Traceback" not in cluster.logs()
