"""The port of a component that has none otherwise: real requests."""

import asyncio
import time
import urllib.error
import urllib.request

from prometheus_client import CollectorRegistry, Counter

from distfile_mirror.config import load_config
from distfile_mirror.wiring import metrics
from distfile_mirror.wiring.metrics import Pulse, told
from tests.ports import free_port

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(port, path):
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_tells_metrics_and_whether_it_is_alive():
    registry, alive, port = CollectorRegistry(), [True], free_port()
    Counter("done", "What was done.", registry=registry).inc()
    with told(load_config({"metrics_listen": f"127.0.0.1:{port}"}), registry, lambda: alive[0]):
        assert "done_total 1.0" in ask(port, "/metrics")[1]
        assert ask(port, "/health") == (200, "alive\n")
        alive[0] = False
        assert ask(port, "/health")[0] == 503


def test_a_pulse_is_felt_while_the_loop_goes_on(monkeypatch):
    monkeypatch.setattr(metrics, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(metrics, "HUNG_SECONDS", 0.2)

    async def scenario():
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(0.4)
        went_on = pulse.is_felt()
        time.sleep(0.3)  # noqa: ASYNC251 - the loop hangs
        hung = not pulse.is_felt()
        await asyncio.sleep(0.05)
        came_back = pulse.is_felt()
        beating.cancel()
        return went_on, hung, came_back

    assert asyncio.run(scenario()) == (True, True, True)
