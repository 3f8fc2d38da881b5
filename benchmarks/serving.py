"""Serving: the web proxy against nginx, in server CPU for one unit of work."""

import re
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.fill_catalog import HOST
from benchmarks.fixtures import FEW_FILES, LARGE_BYTES, MANY_FILES, Mirror, Site, mirror, uri_of
from benchmarks.machine import CLIENT_CORE, SERVER_CORE, FailedToRunError, cpu_of, on_core
from benchmarks.nginx import Nginx, nginx
from benchmarks.rows import Group, Measure, Row, Target, measured

REQUESTS = 20_000
NEW_CONNECTIONS = 2_000
CONNECTIONS = 16
METHOD = (
    "Server CPU (all threads and processes, from the scheduler's statistics) for one request or one transfer, whatever "
    f"the clients' pace. `hey` with {CONNECTIONS} connections asks for 1 KiB {REQUESTS} times ({NEW_CONNECTIONS} where "
    "each request is a new connection); `curl` fetches 1 GiB, as a file and as a layer of a container image. nginx "
    "serves the same bytes from a folder, directly; the mirror is asked as a proxy: absolute-form for HTTP, CONNECT "
    "and TLS inside for HTTPS. Both have one worker, an ECDSA P-256 certificate and TLS 1.3, and take turns within "
    "each round."
)
_STATUSES = re.compile(r"\[(\d{3})]\s+(\d+) responses")


def serving(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure with a small catalog."""
    return _serving(site, FEW_FILES, tell)


def serving_many(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure with a large catalog."""
    return _serving(site, MANY_FILES, tell)


def _serving(site: Site, files: int, tell: Callable[[Row], None]) -> Group:
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(mirror(site.data(files)))
        peer = stack.enter_context(nginx(site.work / "nginx", site.root, host=HOST, core=SERVER_CORE))
        for measure in _measures(site, ours, peer):
            rows.append(measured(measure))
            tell(rows[-1])
    return Group(f"Serving, {files:,} files in the catalog", "nginx", METHOD, tuple(rows))


def _measures(site: Site, ours: Mirror, peer: Nginx) -> list[Measure]:
    proxy = f"http://127.0.0.1:{ours.port}"
    plain, encrypted = f"http://127.0.0.1:{peer.http}", f"https://127.0.0.1:{peer.https}"

    def requests(scheme: str, direct: str, count: int, *options: str) -> Callable[[], tuple[float, float]]:
        return lambda: (
            cpu_of(ours.pid, lambda: hey(count, *options, "-x", proxy, uri_of(site.small, scheme))) / count,
            cpu_of(peer.pid, lambda: hey(count, *options, f"{direct}/{site.small.name}")) / count,
        )

    def transfer(scheme: str, direct: str) -> Callable[[], tuple[float, float]]:
        return lambda: (
            cpu_of(ours.pid, lambda: curl("--proxy", proxy, uri_of(site.large, scheme))),
            cpu_of(peer.pid, lambda: curl(f"{direct}/{site.large.name}")),
        )

    layer_uri = site.layer_uri

    def layer() -> tuple[float, float]:
        return (
            cpu_of(ours.pid, lambda: curl("--proxy", proxy, layer_uri)),
            cpu_of(peer.pid, lambda: curl(f"{encrypted}/{site.large.name}")),
        )

    anew = "-disable-keepalive"
    micro = 1e6
    return [
        Measure("HTTP, 1 KiB, keep-alive", "µs", micro, requests("http", plain, REQUESTS), Target(1.5)),
        Measure("HTTPS, 1 KiB, keep-alive", "µs", micro, requests("https", encrypted, REQUESTS), Target(1.7)),
        Measure("HTTPS, 1 GiB", "s", 1, transfer("https", encrypted), Target(1.1)),
        Measure("HTTPS, image layer of 1 GiB", "s", 1, layer, Target(1.1)),
        Measure("HTTP, 1 GiB", "s", 1, transfer("http", plain), Target(1.5)),
        Measure(
            "new connection, TLS, 1 KiB", "µs", micro, requests("https", encrypted, NEW_CONNECTIONS, anew), Target(2.0)
        ),
    ]


def hey(count: int, *arguments: str) -> None:
    """Ask ``count`` times for what ``arguments`` name. Raises FailedToRunError unless each answer is a 200."""
    output = on_core(CLIENT_CORE, ["hey", "-n", str(count), "-c", str(CONNECTIONS), *arguments])
    statuses = dict(_STATUSES.findall(output))
    if statuses != {"200": str(count)}:
        raise FailedToRunError(f"hey got {statuses or output[-500:]} instead of {count} answers with 200")


def curl(*arguments: str, write_out: str = "") -> str:
    """Fetch the file of 1 GiB; return what ``write_out``, a format of curl's, says. Raises FailedToRunError."""
    # --insecure: whom the client trusts costs the server nothing.
    quiet = ["--silent", "--show-error", "--fail", "--insecure", "--output", "/dev/null"]
    size, told = on_core(
        CLIENT_CORE, ["curl", *quiet, "--write-out", f"%{{size_download}} {write_out}", *arguments]
    ).split(" ", 1)
    if int(size) != LARGE_BYTES:
        raise FailedToRunError(f"curl got {size} bytes instead of {LARGE_BYTES}")
    return told
