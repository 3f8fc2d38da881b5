"""Debian's docker-registry as an upstream, filled by skopeo, with a token server in front of it where wanted."""

import http.client
import socket
import ssl
import subprocess
import time
from contextlib import suppress

from tests.acceptance.running_mirror import clean_environment
from tests.ports import free_port

READY_SECONDS = 20


class DockerRegistry:
    """A registry with TLS for ``names``. ``auth``: lines of its configuration, indented by two."""

    def __init__(self, folder, authority, *names, auth=""):
        self.folder = folder
        self.port = free_port()
        self.log = folder / "registry.log"
        pem = authority.server_file(*names)
        self._config = folder / "registry.yml"
        self._config.write_text(
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\n"
            f"http:\n  addr: 127.0.0.1:{self.port}\n  tls:\n    certificate: {pem}\n    key: {pem}\n"
            + (f"auth:\n{auth}" if auth else "")
        )
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", self._config],
                stdout=log,
                stderr=log,
                env=clean_environment(OTEL_TRACES_EXPORTER="none"),
            )
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError(f"the registry is not up: {self.log.read_text()}")

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def push(self, layout, name, repository, *flags):
        """Push what ``layout`` has under the tag ``name``, all of it, byte for byte."""
        target = f"docker://127.0.0.1:{self.port}/{repository}:{name}"
        command = ["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"]
        run([*command, *flags, f"oci:{layout.folder}:{name}", target])

    def put_manifest(self, made, repository, tag):
        """Put a manifest whose parts are there already: skopeo would write some of them anew."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        headers = {"Content-Type": made.media_type}
        connection.request("PUT", f"/v2/{repository}/manifests/{tag}", made.content, headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        connection.close()


def run(command, *, check=True, timeout=120, **environment):
    """Run a program without the machine's proxies and CA settings."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=clean_environment(**environment),
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done
