"""Pages: how long the web admin takes to answer, with a large catalog on SQLite."""

import http.client
import time
from collections.abc import Callable

from benchmarks.fixtures import MANY_FILES, PROGRAM, Site
from benchmarks.invented import invented_file, project_name
from benchmarks.machine import SERVER_CORE, FailedToRunError, free_port, running
from benchmarks.rows import Group, Row, Target

ROUNDS = 9
PAGE_MILLISECONDS = 200.0
SEARCH_MILLISECONDS = 400.0
LIMIT = Target(1.0)
METHOD = (
    f"One process, on one core; each page is asked for {ROUNDS} times by one client over loopback, after once that is "
    "not counted, in turn with all others. Times are from the request to the end of the page. The peer is the limit "
    f"that was set: {PAGE_MILLISECONDS:.0f} ms, and {SEARCH_MILLISECONDS:.0f} ms for a search."
)
_ONE = invented_file(777_777 % MANY_FILES)
_PAGES = {
    "home": "/",
    "files": "/files",
    "files, of a state": "/files?state=failed",
    "files, of a host": f"/files?host={_ONE.host}",
    "files, of a project": f"/files?project={project_name(7)}",
    "files, of a licence": "/files?licence=MPL-2.0",
    "files, declared by": "/files?declared_by=alice",
    "files, gone upstream": "/files?upstream=gone",
    "files, the largest": "/files?order=largest",
    "a file": "/files/500000",
    "declare": "/files/declare",
    "missing": "/misses",
    "missing, of a label": f"/misses?label={project_name(7)}",
    "missing, most often": "/misses?order=most",
    "projects": "/projects",
    "a project": "/projects/7",
    "unknown licences": "/projects/unknown-licences",
    "never asked for": "/projects/unused",
    "used without a declared use": "/projects/undeclared",
    "audit": "/audit",
    "audit, of one": "/audit?actor=bench",
    "set up": "/setup",
}
_SEARCHES = {
    "search, one hit": "/files?q=" + _ONE.uri.rpartition("/")[2],
    "search, many hits": "/files?q=example",
    "search, no hit": "/files?q=no-such-thing-anywhere",
    "search, a digest": "/files?q=abcdef0123456789",
    "search in missing": "/misses?q=no-such-thing-anywhere",
    "search in audit": "/audit?q=vector",
}


def pages(site: Site, tell: Callable[[Row], None]) -> Group:
    """Measure every page."""
    data = site.data(MANY_FILES)
    port = free_port()
    command = [PROGRAM, "web-admin", "--data-dir", str(data), "--admin-listen", f"127.0.0.1:{port}"]
    paths = {**_PAGES, **_SEARCHES}
    times: dict[str, list[float]] = {name: [] for name in paths}
    with running(command, core=SERVER_CORE, port=port, log=data / "web-admin.log"):
        for turn in range(ROUNDS + 1):
            for name, path in paths.items():
                seconds = _ask(port, path)
                if turn:
                    times[name].append(seconds * 1000)
    rows = []
    for name, measured in times.items():
        limit = SEARCH_MILLISECONDS if name in _SEARCHES else PAGE_MILLISECONDS
        rows.append(Row(name, "ms", tuple(measured), (limit,) * len(measured), LIMIT))
        tell(rows[-1])
    title = f"Pages, {MANY_FILES:,} files, {MANY_FILES // 10:,} misses, 1,000 projects in the catalog"
    return Group(title, "limit", METHOD, tuple(rows))


def _ask(port: int, path: str) -> float:
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200 or not content:
        raise FailedToRunError(f"{path} answered {answer.status}")
    return time.perf_counter() - begin
