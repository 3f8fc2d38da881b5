"""Numbers of several workers, told by any of them."""

from prometheus_client import CollectorRegistry, generate_latest

from distfile_mirror.proxy.counters import (
    BY_LIMIT,
    BY_OUTCOME,
    SINGLE,
    Count,
    CounterCollector,
    open_counters,
    remove_counters,
)


def scrape(folder):
    registry = CollectorRegistry()
    registry.register(CounterCollector(folder))
    return generate_latest(registry).decode()


def test_each_worker_is_told_apart(tmp_path):
    first, second = open_counters(tmp_path, 0), open_counters(tmp_path, 1)
    first[Count.SERVED] += 3
    second[Count.SERVED] += 4
    second[Count.CONNECTIONS_OPEN] += 2
    text = scrape(tmp_path)
    assert 'distfile_mirror_proxy_requests_total{outcome="served",worker="0"} 3.0' in text
    assert 'distfile_mirror_proxy_requests_total{outcome="served",worker="1"} 4.0' in text
    assert 'distfile_mirror_proxy_open_connections{worker="1"} 2.0' in text


def test_a_restarted_worker_begins_at_zero(tmp_path):
    open_counters(tmp_path, 0)[Count.MISSED] += 1
    open_counters(tmp_path, 0)
    assert 'outcome="missed",worker="0"} 0.0' in scrape(tmp_path)


def test_workers_of_another_time_are_forgotten(tmp_path):
    open_counters(tmp_path, 7)
    remove_counters(tmp_path)
    assert 'worker="7"' not in scrape(tmp_path)


def test_everything_counted_is_told():
    told = {*BY_OUTCOME.values(), *BY_LIMIT.values(), *(count for count, _ in SINGLE.values()), Count.CONNECTIONS_OPEN}
    assert told == set(Count)
