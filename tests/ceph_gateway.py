"""An S3 server for tests: a Ceph gateway with one monitor and one object daemon that keeps its bytes in memory."""

import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store

from tests.ports import free_ports
from tests.requirements import skip

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "ceph-authtool")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
READY_SECONDS = 90
REGION = "us-east-1"
BUCKET = "contract"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# cephx stays on: without it the gateway hangs. Without tcp_nodelay each GET takes 45 ms.
CONFIGURATION = """
[global]
fsid = 6f1d2c3e-8a1b-4c55-9d61-0f5f0a1b2c3d
mon initial members = a
mon host = [v2:127.0.0.1:{mon_v2}/0,v1:127.0.0.1:{mon_v1}/0]
public network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
log file = {folder}/$name.log
log to stderr = false
err to stderr = false
mon cluster log file = {folder}/cluster.log
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
run dir = {folder}
crash dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2

[mon.a]
mon data = {folder}/mon
rocksdb cache size = 8388608

[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
osd class load list = *
osd class default list = *

[client.rgw]
keyring = {folder}/keyring
rgw frontends = beast endpoint={address}:{port} tcp_nodelay=1
rgw dynamic resharding = false
rgw enable usage log = false
rgw enable ops log = false
rgw data = {folder}/rgw
rgw thread pool size = 64
rgw zone root pool = .rgw.root
"""
REQUEST = re.compile(r'"(\w+) (\S+) HTTP/1\.1" (\d+) ')


class CephGateway:
    """The server, in a folder of its own, from enter to exit.

    ``endpoint`` is its address; ``access_key`` and ``secret_key`` those of its one user. ``stop`` and
    ``start`` end and begin the gateway alone, on the same port: what is stored stays. ``address``: of this
    machine, where the gateway listens.
    """

    access_key = "TESTACCESSKEY0000001"
    secret_key = "test/secret+key/0000000000000000000000001"

    def __init__(self, address="127.0.0.1"):
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            skip(f"{', '.join(missing)} missing: apt-get install {PACKAGES}")
        self._folder = None
        self._daemons = []
        self._gateway = None
        self.port, self._mon_v2, self._mon_v1 = free_ports(3)
        self._address = address
        self.endpoint = f"http://{address}:{self.port}"

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="rgw-"))  # short: it holds unix sockets
        self._configuration = self._folder / "ceph.conf"
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        for process in reversed(self._daemons):
            process.kill()
            process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def make_bucket(self, name):
        """Make a bucket; return its name."""
        # obstore cannot make buckets, but it signs.
        address = obstore.sign(self.store(name), "PUT", "", timedelta(minutes=1))
        with DIRECT.open(urllib.request.Request(address, b"", method="PUT"), timeout=30):
            pass
        return name

    def open_to_all(self, bucket):
        """Let anybody do anything with ``bucket``, without a signature (which this has: AWS Signature Version 4)."""
        what = {"Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
        body = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **what}]}).encode()
        now = datetime.now(UTC)
        digest = hashlib.sha256(body).hexdigest()
        headers = {
            "host": urlsplit(self.endpoint).netloc,
            "x-amz-content-sha256": digest,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        names = ";".join(headers)
        fields = [f"{name}:{value}" for name, value in headers.items()]
        asked = "\n".join(["PUT", f"/{bucket}", "policy=", *fields, "", names, digest])
        scope = f"{now:%Y%m%d}/{REGION}/s3/aws4_request"
        signed = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(asked.encode()).hexdigest()]
        key = f"AWS4{self.secret_key}".encode()
        for part in [*scope.split("/"), "\n".join(signed)]:
            key = hmac.digest(key, part.encode(), "sha256")
        proof = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        request = urllib.request.Request(
            f"{self.endpoint}/{bucket}?policy=",
            body,
            method="PUT",
            headers={**headers, "Authorization": f"AWS4-HMAC-SHA256 {proof}"},
        )
        with DIRECT.open(request, timeout=30):
            pass

    def store(self, bucket, prefix=None):
        """Return the bucket as obstore has it, to look behind the product's back."""
        return S3Store(
            bucket,
            prefix=prefix,
            config={
                "endpoint": self.endpoint,
                "access_key_id": self.access_key,
                "secret_access_key": self.secret_key,
                "region": REGION,
            },
            client_options={"allow_http": True},
        )

    def start(self):
        """Start the gateway and wait until it answers."""
        self._gateway = self._daemon("radosgw", "-n", "client.rgw")
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._gateway.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the gateway is not up: {self._logs()}")
            time.sleep(0.1)

    def stop(self):
        """End the gateway at once; connections to it are refused from now on."""
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait(20)
            self._gateway = None

    def ensure_up(self):
        """Undo ``stop`` and ``pause``."""
        if self._gateway is None:
            self.start()
        else:
            self.resume()

    def requests(self, part=""):
        """Return method, path and status of the requests so far whose path has ``part``, by the gateway's log."""
        time.sleep(0.3)  # the log is written by a thread of its own
        lines = (self._folder / "client.rgw.log").read_text(errors="replace").splitlines()
        found = [match.groups() for match in map(REQUEST.search, lines) if match]
        return [(method, path, int(status)) for method, path, status in found if part in path]

    def pause(self):
        """Let the gateway hang: connections are accepted by the kernel, and nothing answers."""
        os.kill(self._gateway.pid, signal.SIGSTOP)
        # Its threads go on until one of them has had the processor to see the signal.
        while any(_state(task) != "T" for task in Path(f"/proc/{self._gateway.pid}/task").iterdir()):
            time.sleep(0.01)

    def resume(self):
        """Let it go on after ``pause``."""
        os.kill(self._gateway.pid, signal.SIGCONT)

    def _begin(self):
        self._configuration.write_text(
            CONFIGURATION.format(
                folder=self._folder,
                address=self._address,
                port=self.port,
                mon_v1=self._mon_v1,
                mon_v2=self._mon_v2,
            )
        )
        for name in ("mon", "osd", "rgw"):
            (self._folder / name).mkdir()
        self._start_monitor()
        self._start_object_daemon()
        self.start()
        self._run(
            "radosgw-admin", *self._common("client.rgw"), "user", "create", "--uid", "tests", "--display-name", "tests",
            "--access-key", self.access_key, "--secret-key", self.secret_key,
        )  # fmt: skip

    def _start_monitor(self):
        keyring, monmap = self._folder / "keyring", self._folder / "monmap"
        address = f"[v2:127.0.0.1:{self._mon_v2}/0,v1:127.0.0.1:{self._mon_v1}/0]"
        fsid = "6f1d2c3e-8a1b-4c55-9d61-0f5f0a1b2c3d"
        self._run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap)
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw", "osd.0"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)
        self._run("ceph-mon", "--mkfs", "-i", "a", *self._common(), "--monmap", monmap, "--keyring", keyring)
        self._daemons.append(self._daemon("ceph-mon", "-i", "a"))
        self._run("ceph", *self._common("client.admin"), "--connect-timeout", "30", "mon", "stat")

    def _start_object_daemon(self):
        uuid = "0a1b2c3d-1111-4222-8333-444455556666"
        self._run("ceph", *self._common("client.admin"), "osd", "new", uuid, "0")
        self._run("ceph-osd", "-i", "0", *self._common(), "--mkfs", "--osd-uuid", uuid)
        self._daemons.append(self._daemon("ceph-osd", "-i", "0"))

    def _common(self, name=None):
        return ["-c", self._configuration, *(["-n", name] if name else [])]

    def _daemon(self, *command):
        with (self._folder / "output.log").open("ab") as log:
            return subprocess.Popen(
                [*map(str, command), *map(str, self._common()), "-f"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _run(self, *command):
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=READY_SECONDS
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self._logs()}"
        return done.stdout

    def _answers(self):
        with suppress(OSError), socket.create_connection((self._address, self.port), 2) as connection:
            connection.settimeout(5)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.1 200")
        return False

    def _logs(self):
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self._folder.glob("*.log")))


def _state(task):
    """Return the letter that the kernel gives to what a thread does, such as T for one that is stopped."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
