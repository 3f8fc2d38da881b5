"""A whole installation as a cluster: every component, the database and the load on a machine of its own.

The machines are network namespaces. Upstreams and the S3 server are on this machine, where tests can count.
"""

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.acceptance.cluster_load import Answer
from tests.acceptance.cluster_upstream import HOST, CountingUpstream, content_of, url_of
from tests.acceptance.network import Network
from tests.acceptance.running_components import Component, api, command, get
from tests.acceptance.running_mirror import clean_environment
from tests.ceph_gateway import REGION, CephGateway
from tests.postgresql_server import PostgresqlServer
from tests.registry_server import RegistryServer
from tests.upstream_server import TestAuthority

ROOT = Path(__file__).parents[2]
BUCKET = "cluster"
REGISTRY = "registry.test"
ROLES = ("proxy", "admin", "files", "containers")
USE = {"project": "tests", "reason": "to see it hold"}
PERSON = {"X-Forwarded-User": "tester"}
LEASE_SECONDS = 8
DATABASE_HOST = 10
LOAD_HOST = 50
# Name, role, command, and the last part of the address.
MACHINES = (
    ("proxy1", "proxy", "web-proxy", 21),
    ("proxy2", "proxy", "web-proxy", 22),
    ("admin1", "admin", "web-admin", 31),
    ("admin2", "admin", "web-admin", 32),
    ("files1", "files", "cron-download-files", 41),
    ("files2", "files", "cron-download-files", 42),
    ("files3", "files", "cron-download-files", 43),
    ("images1", "containers", "cron-download-containers", 44),
)


class Cluster:
    """The cluster, from enter to exit. ``folder``: for logs, and the data of each component."""

    def __init__(self, folder):
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            self.network = stack.enter_context(Network())
            self.store = stack.enter_context(CephGateway(self.network.here))
            self.upstream = stack.enter_context(CountingUpstream(address=self.network.here))
            self._upstream_authority = TestAuthority(self.folder)
            tls = self._upstream_authority.server_context(HOST)
            self.tls_upstream = stack.enter_context(CountingUpstream(tls, address=self.network.here))
            self.registry = stack.enter_context(RegistryServer(address=self.network.here))
            self.database = stack.enter_context(self._new_database())
            self._set_up()
            self.components = {name: self._component(*facts, name=name) for name, *facts in MACHINES}
            stack.callback(self._end)
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def of(self, kind):
        """Return the components whose names begin so."""
        return [component for name, component in self.components.items() if name.startswith(kind)]

    @property
    def ca(self):
        """The file of the proxies' CA."""
        return self.folder / "ca" / "ca.pem"

    @property
    def completed(self):
        """How often each file was sent to the last byte, by either upstream."""
        return self.upstream.completed + self.tls_upstream.completed

    def declare(self, name, admin=0):
        """Declare a file; return the status."""
        return self.api("/files", {"uri": url_of(name), **USE}, admin)[0]

    def api(self, path, document=None, admin=0):
        """Ask an admin."""
        return api(self.of("admin")[admin], path, document, headers=PERSON)

    def get(self, name, proxy=0):
        """GET a file by a proxy; return status, headers and body."""
        return get(self.of("proxy")[proxy], url_of(name), timeout=60, ca=self.ca)

    def states(self):
        """Return name -> state, owner of the lease, of all files, from the database itself."""
        rows = self.database.sql("SELECT uri, state, lease_owner FROM catalog_file", "mirror")
        facts = [line.split("|") for line in rows.splitlines()]
        return {uri.rpartition("/")[2]: (state, owner) for uri, state, owner in facts}

    def wait_until_present(self, names, seconds=60):
        """Wait until all these files are present."""
        until = time.monotonic() + seconds
        while missing := {
            name: state for name in names if (state := self.states().get(name, ("no row",)))[0] != "present"
        }:
            assert time.monotonic() < until, missing
            time.sleep(0.2)

    def logs(self):
        """Return what all components wrote."""
        return "\n".join(component.log.read_text() for component in self.components.values())

    def run(self, *arguments):
        """Run a command of the product with all rights on the database."""
        environment = {**self._environment, "DISTFILE_MIRROR_DATABASE_URL": self.database.url("mirror")}
        return command(
            self.folder, *arguments, "--data-dir", self.folder / "command", environment=environment, check=False
        )

    def spools(self):
        """Return what lies in the spools of all components."""
        return [path for name in self.components for path in (self.folder / name / "spool").glob("*")]

    def _new_database(self):
        prefix = self.network.add("database", DATABASE_HOST)
        address = self.network.address(DATABASE_HOST)
        return PostgresqlServer(listen=address, trust=[self.network.addresses], prefix=prefix)

    def _set_up(self):
        self.store.make_bucket(BUCKET)
        self.database.create_database("mirror")
        self._environment = {
            "AWS_ACCESS_KEY_ID": self.store.access_key,
            "AWS_SECRET_ACCESS_KEY": self.store.secret_key,
            "AWS_REGION": REGION,
            "DISTFILE_MIRROR_S3_ENDPOINT": self.store.endpoint,
            "DISTFILE_MIRROR_BLOBS_URL": f"s3://{BUCKET}/mirror",
            "DISTFILE_MIRROR_CA_DIR": str(self.ca.parent),
            "DISTFILE_MIRROR_WORKERS": "1",
            # Less than what is asked for all the time: a proxy must take it from its disk again and again.
            "DISTFILE_MIRROR_PROXY_CACHED_BYTES": "60000",
            "DISTFILE_MIRROR_SIGN_IN": "header",
            "DISTFILE_MIRROR_AUTH_HEADER_FROM": self.network.addresses,
            "DISTFILE_MIRROR_DEFAULT_ROLE": "administrator",
            "DISTFILE_MIRROR_SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "DISTFILE_MIRROR_ALLOW_NETWORK": self.network.addresses,
            "DISTFILE_MIRROR_CONNECT_TO": f"{HOST}:80:{self.upstream.authority} "
            f"{HOST}:443:{self.tls_upstream.authority} {REGISTRY}::{self.registry.authority}",
            "DISTFILE_MIRROR_UPSTREAM_CA": str(self._upstream_authority.ca_file),
            "DISTFILE_MIRROR_PLAIN_HTTP_REGISTRIES": REGISTRY,
            "DISTFILE_MIRROR_DOWNLOAD_LEASE": str(LEASE_SECONDS),
            "DISTFILE_MIRROR_DOWNLOAD_BACKOFF": "0.5",
            "DISTFILE_MIRROR_UPSTREAM_CHECK_SECONDS": "0",
        }
        self._ran("ca", "init")
        self._ran("migrate")
        self.database.sql(self._ran("migrate", "--print-grants").stdout, "mirror")
        for role in ROLES:
            self.database.sql(f"CREATE USER {role} IN ROLE distfile_mirror_{role}", "mirror")

    def _ran(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def _component(self, role, program, host, *, name):
        url = self.database.url("mirror", role, self.network.address(DATABASE_HOST))
        environment = {**self._environment, "DISTFILE_MIRROR_DATABASE_URL": url}
        flags = ["--data-dir", self.folder / name, *(["--watch"] if program.startswith("cron") else [])]
        component = Component(
            self.folder,
            name,
            program,
            *flags,
            environment=environment,
            prefix=self.network.add(name, host),
            address=self.network.address(host),
        )
        listens = {"web-proxy": ("--proxy-listen", 3128), "web-admin": ("--admin-listen", 8080)}
        return component.listen(*listens[program]) if program in listens else component

    def _start(self):
        for component in self.components.values():
            component.start()
        for component in (*self.of("proxy"), *self.of("admin")):
            component.wait_until_up()

    def _end(self):
        for component in self.components.values():
            component.kill()


class Load:
    """The clients of ``cluster_load`` on a machine of their own, asking for ``sha256`` (target -> digest)."""

    def __init__(self, cluster, sha256):
        self._cluster = cluster
        self._prefix = cluster.network.add("load", LOAD_HOST)
        self._path = cluster.folder / "load.jsonl"
        proxies = [f"{proxy.address}:{proxy.port}" for proxy in cluster.of("proxy")]
        self._asked = json.dumps({"proxies": proxies, "sha256": sha256, "ca": str(cluster.ca)}) + "\n"
        self._targets = len(sha256)

    def __enter__(self):
        with self._path.open("wb") as output, (self._cluster.folder / "load.log").open("wb") as errors:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "tests.acceptance.cluster_load"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                cwd=ROOT,
                env=clean_environment(),
            )
        self._process.stdin.write(self._asked.encode())
        self._process.stdin.flush()
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait(10)

    def answers(self, since=0.0, until=float("inf")):
        """Return the answers to what was asked between two times."""
        lines = self._path.read_bytes().split(b"\n")[:-1]
        answers = [Answer(**json.loads(line)) for line in lines]
        return [answer for answer in answers if since <= answer.at < until]

    def wait_until_warm(self):
        """Wait until each proxy has served everything since now, to whoever asked."""
        since, until = time.time(), time.monotonic() + 60
        while True:
            served = {(answer.proxy, answer.target) for answer in self.answers(since) if answer.status == 200}
            if len(served) == self._targets * len(self._cluster.of("proxy")):
                return
            assert time.monotonic() < until, self.answers(since)[-20:]
            time.sleep(0.3)


class Declarer(threading.Thread):
    """Declares one small file after the other, by either admin, until told to end.

    ``declared``: names that were answered 201; ``refused``: (status, seconds it took) of the others.
    """

    def __init__(self, cluster, kind):
        super().__init__(daemon=True)
        self._cluster = cluster
        self._kind = kind
        self._enough = threading.Event()
        self.declared = []
        self.refused = []

    def run(self):
        sizes = (200, 30_000, 300_000)
        number = 0
        while not self._enough.wait(0.4):
            name = f"{self._kind}-{sizes[number % len(sizes)]}-{number}"
            begun = time.monotonic()
            try:
                status = self._cluster.declare(name, admin=number % 2)
            except OSError as error:
                status = repr(error)
            if status == 201:
                self.declared.append(name)
            else:
                self.refused.append((status, time.monotonic() - begun))
            number += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._enough.set()
        self.join(60)


__all__ = ["LEASE_SECONDS", "REGISTRY", "USE", "Cluster", "Declarer", "Load", "content_of", "url_of"]
