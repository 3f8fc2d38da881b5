"""Azurite, Microsoft's own server of Azure's blobs for tests: a npm package, used where it is found."""

import base64
import hmac
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from email.utils import formatdate

from tests.ports import free_port

PROGRAM = "azurite-blob"
CONTAINER = "contract"
READY_SECONDS = 30
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Of every Azurite, as its documentation says.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2023-11-03"


def is_installed():
    """Tell whether there is one here."""
    return shutil.which(PROGRAM) is not None


class Azurite:
    """The server with one container, from enter to exit. ``environment`` leads obstore to it."""

    def __init__(self):
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self.environment = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": self._url}

    def __enter__(self):
        command = [PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", str(self._port), "--inMemoryPersistence"]
        self._process = subprocess.Popen(
            [*command, "--silent", "--disableTelemetry", "--skipApiVersionCheck"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            self._wait_until_up()
            self._make_container()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(20)

    def _wait_until_up(self):
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.1)
        raise AssertionError("Azurite is not up")

    def _make_container(self):
        """Make the container, which obstore cannot, signed as "Authorize with Shared Key" of Azure's REST says."""
        date = formatdate(usegmt=True)
        headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        signed = "PUT" + 12 * "\n" + headers + resource
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), "sha256").digest()
        request = urllib.request.Request(
            f"{self._url}/{ACCOUNT}/{CONTAINER}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": VERSION,
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            },
        )
        with DIRECT.open(request, timeout=30):
            pass
