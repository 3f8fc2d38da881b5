"""A real registry on loopback for tests: what is pushed is served, behind a login or not, with any fault there is.

``faults`` (method-less path -> handler) answer instead of the registry itself, behind its login.
"""

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from distfile_mirror.model.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.upstream_server import Handler, UpstreamServer

NAMES = ("registry.test", "registry-1.docker.io", "auth.test", "cdn.test", "evil.test", "127.0.0.1")
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|referrers)/(?P<reference>[^/]+)")


def digest_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content, media_type, algorithm="sha256", **more):
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content), **more}


@dataclass
class Login:
    """How the registry wants to be told who asks. ``users``: name -> password; empty: anybody gets a token.

    ``uses``: of one token, before it has expired. ``realm``: where tokens are.
    """

    scheme: str = "Bearer"
    realm: str = "https://auth.test/token"
    users: dict[str, str] = field(default_factory=dict)
    uses: int = 1_000_000
    answer: dict = field(default_factory=lambda: {"expires_in": 300})
    refresh_tokens: set = field(default_factory=set)
    valid: dict[str, int] = field(default_factory=dict)
    issued: int = 0

    def lets_in(self, authorization):
        scheme, _, value = authorization.partition(" ")
        if scheme != self.scheme:
            return False
        if scheme == "Basic":
            return self.knows(authorization)
        left = self.valid.get(value, 0)
        self.valid[value] = left - 1
        return left > 0

    def knows(self, authorization):
        name, _, password = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
        return bool(name) and self.users.get(name) == password

    def challenge(self, name):
        if self.scheme == "Basic":
            return 'Basic realm="here"'
        return f'Bearer realm="{self.realm}",service="registry.test",scope="repository:{name}:pull"'

    def give_token(self, exchange):
        request = exchange.request
        form = parse_qs(request.body.decode())
        known = form.get("refresh_token", [""])[0] in self.refresh_tokens or self.knows(
            request.headers.get("authorization", "Basic ")
        )
        if (self.users or self.refresh_tokens) and not known:
            exchange.respond(b'{"errors":[]}', status=401, reason="Unauthorized")
            return
        token = secrets.token_hex(8)
        self.valid[token] = self.uses
        self.issued += 1
        exchange.respond(json.dumps({"token": token, **self.answer}).encode())


@dataclass
class RegistryServer(UpstreamServer):
    """A registry. ``redirect_blobs``: to which address blobs are redirected, if they are."""

    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    login: Login | None = None
    faults: dict[str, Handler] = field(default_factory=dict)
    redirect_blobs: str = ""
    knows_referrers: bool = True
    page_size: int = 1000

    def push_blob(self, content, media_type=LAYER_TYPE, algorithm="sha256", **more):
        """Take a blob; return its descriptor."""
        self.blobs[digest_of(content, algorithm)] = content
        return descriptor(content, media_type, algorithm, **more)

    def push_manifest(self, name, document, *, tag=None, media_type=None, algorithm="sha256", **more):
        """Take a manifest, given as bytes or as what is written as JSON; return its descriptor."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        media_type = media_type or (document.get("mediaType") if isinstance(document, dict) else None) or OCI_MANIFEST
        for reference in {digest_of(content, algorithm), tag} - {None}:
            self.manifests[name, reference] = content, media_type
        return descriptor(content, media_type, algorithm, **more)

    def push_image(self, name, layers, *, media_type=OCI_MANIFEST, algorithm="sha256", config=b"{}", **more):
        """Take an image of ``layers`` (bytes, or descriptors) with ``more`` in its manifest; return its descriptor."""
        tag, platform = more.pop("tag", None), more.pop("platform", None)
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.push_blob(config, CONFIG_TYPE, algorithm),
            "layers": [
                layer if isinstance(layer, dict) else self.push_blob(layer, LAYER_TYPE, algorithm) for layer in layers
            ],
            **more,
        }
        described = self.push_manifest(name, document, tag=tag, algorithm=algorithm)
        if platform:
            os, architecture, *variant = platform.split("/")
            described["platform"] = {
                "os": os,
                "architecture": architecture,
                **({"variant": variant[0]} if variant else {}),
            }
        return described

    def push_index(self, name, children, **options):
        """Take an index of descriptors; return its descriptor."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
        return self.push_manifest(name, document, **options)

    def counted(self, part):
        """Return how many requests had ``part`` in their target."""
        return sum(part in request.target for request in self.requests)

    def handler_for(self, request):
        path = urlsplit(request.target).path
        if path == "/token" and self.login is not None:
            return self.login.give_token
        found = _PATH.fullmatch(path)
        if not found:
            return super().handler_for(request)
        if self.login is not None and not self.login.lets_in(request.headers.get("authorization", "")):
            return self._unauthorised(found["name"])
        if path in self.faults:
            return self.faults[path]
        return getattr(self, f"_{found['kind']}")(found["name"], found["reference"])

    def _unauthorised(self, name):
        headers = {"WWW-Authenticate": self.login.challenge(name)}
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        return lambda exchange: exchange.respond(body, status=401, reason="Unauthorized", headers=headers)

    def _manifests(self, name, reference):
        if (name, reference) not in self.manifests:
            return missing
        content, media_type = self.manifests[name, reference]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(content)}
        return lambda exchange: exchange.respond(content, headers=headers)

    def _blobs(self, _name, reference):
        if reference not in self.blobs:
            return missing
        if self.redirect_blobs:
            location = {"Location": f"{self.redirect_blobs}/{reference}?X-Signature=verysecret"}
            return lambda exchange: exchange.respond(status=307, reason="Temporary Redirect", headers=location)
        return blob(self.blobs[reference])

    def _referrers(self, name, digest):
        if not self.knows_referrers:
            return missing
        found = []
        for (repository, reference), (content, media_type) in self.manifests.items():
            document = json.loads(content)
            if repository == name and ":" in reference and document.get("subject", {}).get("digest") == digest:
                found.append(descriptor(content, media_type, artifactType=document.get("artifactType", "")))
        return lambda exchange: self._page(exchange, found)

    def _page(self, exchange, found):
        begin = int(parse_qs(urlsplit(exchange.request.target).query).get("last", ["0"])[0])
        end = begin + self.page_size
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[begin:end]}
        path = urlsplit(exchange.request.target).path
        link = {"Link": f'<{path}?last={end}>; rel="next"'} if end < len(found) else {}
        exchange.respond(json.dumps(document).encode(), headers={"Content-Type": OCI_INDEX, **link})


def blob(content):
    """Make a handler that serves a blob: single ranges, and no validator, as storage behind registries does."""

    def handle(exchange):
        start = exchange.request.range_start
        headers = {"Content-Type": "application/octet-stream"}
        if start is None:
            exchange.respond(content, headers=headers)
            return
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        exchange.respond(content[start:], status=206, reason="Partial Content", headers={**headers, **span})

    return handle


def missing(exchange):
    """Answer as a registry that does not have it."""
    body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}'
    exchange.respond(body, status=404, reason="Not Found", headers={"Content-Type": "application/json"})


__all__ = ["DOCKER_MANIFEST", "NAMES", "Login", "RegistryServer", "blob", "descriptor", "digest_of", "missing"]
