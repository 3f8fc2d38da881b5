"""How clients are set up: ready lines with this server's own addresses, and the CA to trust."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from distfile_mirror.admin.settings import current_context
from distfile_mirror.authority.root import AuthorityError, java_trust_store, load_anchors, pem_of
from distfile_mirror.errors import NotFoundError

PEM = "mirror-ca.pem"


@dataclass(frozen=True, slots=True)
class Client:
    """One client: where its lines go, and the lines."""

    name: str
    where: str
    lines: str


@require_safe
def setup(request: HttpRequest) -> HttpResponse:
    """Show it."""
    context = current_context()
    proxy = urlsplit(context.proxy_url)
    fingerprint = _fingerprint(context.ca_file)
    shown = {
        "clients": [
            *_programs(context.proxy_url),
            *_package_managers(context.proxy_url),
            *_containers(context.proxy_url, proxy.netloc),
        ],
        "fingerprint": fingerprint,
        "get_ca": f"curl --fail --output {PEM} {context.proxy_url}/ca.pem",
        "check_ca": f"openssl x509 -in {PEM} -noout -fingerprint -sha256",
        "labelled": context.proxy_url.replace("://", "://firmware@", 1),
    }
    return render(request, "mirror/setup.html", shown)


@require_safe
def certificate(_request: HttpRequest, form: str) -> HttpResponse:
    """Give the CA's certificate as PEM, DER or a Java trust store. Raises NotFoundError where there is none."""
    found = _anchors(current_context().ca_file)
    if not found:
        message = "this machine does not have the CA's certificate; ask the proxy for it"
        raise NotFoundError(message)
    media_type, write = _FORMS[form]
    response = HttpResponse(write(found), content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="mirror-ca.{form}"'
    return response


Anchors = tuple[x509.Certificate, ...]

_FORMS: dict[str, tuple[str, Callable[[Anchors], bytes]]] = {
    "pem": ("application/x-pem-file", pem_of),
    "der": ("application/x-x509-ca-cert", lambda found: found[0].public_bytes(serialization.Encoding.DER)),
    "p12": ("application/x-pkcs12", java_trust_store),
}


def _anchors(ca_file: Path) -> Anchors:
    try:
        return load_anchors(ca_file.parent)
    except AuthorityError:
        return ()


def _fingerprint(path: Path) -> str:
    """Return the sha256 of the CA's certificate as openssl writes it; empty if there is none yet."""
    found = _anchors(path)
    if not found:
        return ""
    return found[0].fingerprint(hashes.SHA256()).hex(":").upper()


def _programs(proxy: str) -> list[Client]:
    shell = "in the shell of the build"
    return [
        Client(
            "Most programs",
            shell,
            f"export http_proxy={proxy} https_proxy={proxy} HTTPS_PROXY={proxy} no_proxy=localhost,127.0.0.1\n"
            f'export SSL_CERT_FILE="$PWD/{PEM}" CURL_CA_BUNDLE="$PWD/{PEM}" REQUESTS_CA_BUNDLE="$PWD/{PEM}"',
        ),
        Client("curl", shell, f"curl --proxy {proxy} --cacert {PEM} -O https://example.org/foo-1.2.tar.gz"),
        Client(
            "wget",
            "~/.wgetrc",
            f"use_proxy = on\nhttp_proxy = {proxy}\nhttps_proxy = {proxy}\nca_certificate = /path/{PEM}",
        ),
        Client(
            "Bazel",
            ".bazelrc (Java's trust store is /ca.p12, see above)",
            f"common --repo_env=HTTP_PROXY={proxy} --repo_env=HTTPS_PROXY={proxy}\n"
            "startup --host_jvm_args=-Djavax.net.ssl.trustStore=/path/mirror-ca.p12\n"
            "startup --host_jvm_args=-Djavax.net.ssl.trustStorePassword=changeit",
        ),
        Client(
            "Buildroot",
            shell,
            f'export http_proxy={proxy} https_proxy={proxy}\nmake source BR2_WGET="wget --ca-certificate=/path/{PEM}"',
        ),
        Client("pip", "pip.conf", f"[global]\nproxy = {proxy}\ncert = /path/{PEM}"),
        Client("npm", ".npmrc", f"proxy={proxy}\nhttps-proxy={proxy}\ncafile=/path/{PEM}"),
        Client(
            "git",
            "~/.gitconfig (archives; git's own protocol is not mirrored)",
            f"[http]\n\tproxy = {proxy}\n\tsslCAInfo = /path/{PEM}",
        ),
    ]


def _package_managers(proxy: str) -> list[Client]:
    host, _colon, port = urlsplit(proxy).netloc.rpartition(":")
    shell = "in the shell of the build"
    return [
        Client(
            "apt",
            "/etc/apt/apt.conf.d/80mirror",
            f'Acquire::http::Proxy "{proxy}";\nAcquire::https::Proxy "{proxy}";\nAcquire::https::CAInfo "/path/{PEM}";',
        ),
        Client("cargo", "~/.cargo/config.toml", f'[http]\nproxy = "{proxy}"\ncainfo = "/path/{PEM}"'),
        Client("Go", shell, f'export HTTPS_PROXY={proxy} SSL_CERT_FILE="$PWD/{PEM}"'),
        Client(
            "Java",
            "on its command line",
            f"-Dhttps.proxyHost={host} -Dhttps.proxyPort={port} -Dhttp.proxyHost={host} -Dhttp.proxyPort={port} "
            "-Djavax.net.ssl.trustStore=/path/mirror-ca.p12 -Djavax.net.ssl.trustStorePassword=changeit",
        ),
        Client("Node", shell, f'export HTTPS_PROXY={proxy} NODE_EXTRA_CA_CERTS="$PWD/{PEM}" NODE_USE_ENV_PROXY=1'),
        Client("Nix", shell, f'export https_proxy={proxy} NIX_SSL_CERT_FILE="$PWD/{PEM}"'),
    ]


def _containers(proxy: str, authority: str) -> list[Client]:
    return [
        Client(
            "Docker, through the proxy",
            "systemctl edit docker",
            f"[Service]\nEnvironment=HTTPS_PROXY={proxy} SSL_CERT_FILE=/path/{PEM}",
        ),
        Client(
            "Docker, Docker Hub only, without the CA", "/etc/docker/daemon.json", f'{{"registry-mirrors": ["{proxy}"]}}'
        ),
        Client(
            "containerd, without the CA",
            "/etc/containerd/certs.d/docker.io/hosts.toml",
            f'[host."{proxy}"]\n  capabilities = ["pull", "resolve"]',
        ),
        Client(
            "podman, skopeo, buildah, through the proxy",
            "in the shell",
            f'export HTTPS_PROXY={proxy} SSL_CERT_FILE="$PWD/{PEM}"',
        ),
        Client(
            "podman, skopeo, buildah, without the CA",
            "/etc/containers/registries.conf",
            '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n\n'
            f'[[registry.mirror]]\nlocation = "{authority}/docker.io"\ninsecure = true',
        ),
    ]
