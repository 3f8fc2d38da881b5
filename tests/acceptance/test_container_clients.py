"""Real container programs pull by digest, through the proxy and from it as a mirror, what is gone upstream."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.acceptance.container_engines import Docker, containerd, ctr, is_root
from tests.acceptance.docker_registry import DockerRegistry, run
from tests.acceptance.running_mirror import RunningMirror
from tests.image_layout import ImageLayout, on
from tests.requirements import skip

BIG_BYTES = 1 << 30
BUSYBOX = "/bin/busybox"
GREETING = "alive"
PROGRAMS = {"docker-registry": "docker-registry", "skopeo": "skopeo", "busybox": "busybox-static"}


def need(*programs):
    packages = {"podman": "podman", "ctr": "containerd", "containerd": "containerd", "dockerd": "docker.io", **PROGRAMS}
    missing = [packages[name] for name in (*PROGRAMS, *programs) if not shutil.which(name)]
    if missing:
        skip(f"the packages {' '.join(missing)} are not installed")
    if programs and not is_root():
        skip("container engines need root")


class Images:
    """What the upstream had."""

    def __init__(self, folder):
        self.layout = layout = ImageLayout(folder)
        with open(BUSYBOX, "rb") as file:
            base = layout.layer({"bin/busybox": file.read()})
        say = ["/bin/busybox", "echo", GREETING]
        self.amd64 = layout.image([base, layout.layer({"amd64": b"x"})], command=say)
        self.arm64 = layout.image([layout.layer({"arm64": b"y"})], platform="linux/arm64/v8")
        self.unwanted = layout.image([layout.layer({"s390x": b"z"})], platform="linux/s390x")
        self.attestation, attests = layout.attestation(self.amd64)
        children = [
            self.amd64.descriptor(platform=on("linux/amd64")),
            self.arm64.descriptor(platform=on("linux/arm64/v8")),
            self.unwanted.descriptor(platform=on("linux/s390x")),
            attests,
        ]
        self.index = layout.tag("index", layout.index(children))
        self.single = layout.tag("single", layout.image([base, layout.layer({"single": b"1"})], command=say))
        self.artifact = layout.tag("artifact", self._artifact())
        referrers = layout.index([self.artifact.descriptor(artifactType="application/vnd.example.sbom")])
        self.referrers = layout.tag("referrers", referrers)

    def _artifact(self):
        empty = self.layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
        sbom = self.layout.blob(b'{"bomFormat":"CycloneDX"}', "application/vnd.example.sbom+json")
        return self.layout.manifest(
            empty, [sbom], artifactType="application/vnd.example.sbom", subject=self.single.descriptor()
        )

    def add_big(self):
        layer = self.layout.blob(bytes(BIG_BYTES), "application/vnd.example.big")
        return self.layout.tag("big", self.layout.image([layer]))


@pytest.fixture(scope="module")
def served(tmp_path_factory, authority):
    """A mirror that has fetched the images, with the registry stopped."""
    need()
    folder = tmp_path_factory.mktemp("images")
    images = Images(folder / "layout")
    images.big = images.add_big()
    (folder / "registry").mkdir()
    with DockerRegistry(folder / "registry", authority, "registry-1.docker.io", "registry.test") as registry:
        registry.push(images.layout, "index", "library/tiny")
        registry.push(images.layout, "index", "team/deep/tiny")
        for name in ("single", "artifact", "big"):
            registry.push(images.layout, name, "team/app")
        subject = images.single.digest.replace(":", "-")
        registry.put_manifest(images.referrers, "team/app", subject)
        mirror = RunningMirror(
            folder,
            upstream_ca=authority.ca_file,
            upstream={"registry-1.docker.io": registry.port, "registry.test": registry.port},
        )
        mirror.start()
        add_image(mirror, f"tiny@{images.index.digest}", "--platform", "linux/amd64", "--platform", "linux/arm64")
        add_image(mirror, f"registry.test/team/deep/tiny:12@{images.index.digest}", "--platform", "all")
        add_image(mirror, f"registry.test/team/app@{images.single.digest}", "--with-referrers")
        add_image(mirror, f"registry.test/team/app@{images.big.digest}")
    mirror.images = images
    mirror.registry = registry
    yield mirror
    assert mirror.stop() == 0


def add_image(mirror, *arguments, check=True):
    return mirror.run(
        "add-image",
        *arguments,
        "--project",
        "tests",
        "--reason",
        "to see it work",
        "--wait",
        "--timeout",
        "100",
        check=check,
    )


def through_proxy(mirror):
    return {"HTTPS_PROXY": mirror.proxy, "SSL_CERT_FILE": str(mirror.ca)}


def skopeo(source, target, *flags, **environment):
    return run(["skopeo", "--insecure-policy", "copy", *flags, source, target], check=False, **environment)


def manifest_in(folder):
    return "sha256:" + hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def assert_whole(folder):
    """Every blob that arrived is what its name says."""
    blobs = [path for path in folder.iterdir() if len(path.name) == 64]
    assert blobs
    for path in blobs:
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == path.name


SOURCES = {
    "docker hub": "docker.io/library/tiny",
    "another registry": "registry.test/team/deep/tiny",
}


@pytest.mark.parametrize("name", SOURCES.values(), ids=SOURCES)
def test_skopeo_through_the_proxy(served, tmp_path, name):
    reference = f"docker://{name}@{served.images.index.digest}"
    done = skopeo(reference, f"dir:{tmp_path}/one", **through_proxy(served))
    assert done.returncode == 0, done.stderr
    assert manifest_in(tmp_path / "one") == served.images.amd64.digest
    assert_whole(tmp_path / "one")


def test_skopeo_copies_a_whole_index(served, tmp_path):
    reference = f"docker://registry.test/team/deep/tiny@{served.images.index.digest}"
    done = skopeo(reference, f"dir:{tmp_path}/all", "--all", **through_proxy(served))
    assert done.returncode == 0, done.stderr
    assert manifest_in(tmp_path / "all") == served.images.index.digest
    assert_whole(tmp_path / "all")


@pytest.mark.parametrize("name", [*SOURCES.values(), "registry.test/team/app"], ids=[*SOURCES, "single image"])
def test_skopeo_from_the_mirror_without_a_ca(served, tmp_path, name):
    is_single = name.endswith("app")
    digest = (served.images.single if is_single else served.images.index).digest
    reference = f"docker://127.0.0.1:{served.proxy_port}/{name}@{digest}"
    done = skopeo(reference, f"dir:{tmp_path}/one", "--src-tls-verify=false")
    assert done.returncode == 0, done.stderr
    assert manifest_in(tmp_path / "one") == (digest if is_single else served.images.amd64.digest)


def test_skopeo_gets_a_layer_of_a_gigabyte(served, tmp_path):
    reference = f"docker://registry.test/team/app@{served.images.big.digest}"
    done = skopeo(reference, f"dir:{tmp_path}/big", **through_proxy(served))
    assert done.returncode == 0, done.stderr
    layer = tmp_path / "big" / hashlib.sha256(bytes(BIG_BYTES)).hexdigest()
    assert layer.stat().st_size == BIG_BYTES


def test_skopeo_is_told_what_to_do(served, tmp_path):
    def told(reference):
        done = skopeo(f"docker://{reference}", f"oci:{tmp_path}/none", **through_proxy(served))
        assert done.returncode != 0
        return done.stderr

    by_tag = told("docker.io/library/tiny:latest")
    assert "never by tag" in by_tag
    assert served.images.index.digest in by_tag
    assert "nobody declared it" in told(f"registry.test/team/app@sha256:{'0' * 64}")
    assert "nobody declared it" in told(f"registry.test/other@sha256:{'0' * 64}")
    assert "platform not mirrored" in told(f"docker.io/library/tiny@{served.images.unwanted.digest}")


@pytest.fixture
def short():
    """A folder with a short path: sockets below it must have one."""
    folder = Path(tempfile.mkdtemp(prefix="dm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_podman(served, short):
    need("podman")
    reference = f"docker.io/library/tiny@{served.images.index.digest}"
    single = f"registry.test/team/app@{served.images.single.digest}"
    for number, each in enumerate((reference, single)):
        pulled = podman(short / f"proxy{number}", "pull", each, **through_proxy(served))
        assert pulled.returncode == 0, pulled.stderr
    conf = short / "registries.conf"
    conf.write_text(
        "".join(
            f'[[registry]]\nprefix = "{registry}"\nlocation = "{registry}"\n[[registry.mirror]]\n'
            f'location = "127.0.0.1:{served.proxy_port}/{registry}"\ninsecure = true\n'
            for registry in ("docker.io", "registry.test")
        )
    )
    for number, each in enumerate((reference, single)):
        pulled = podman(short / f"mirror{number}", "pull", each, CONTAINERS_REGISTRIES_CONF=str(conf))
        assert pulled.returncode == 0, pulled.stderr


def podman(folder, *arguments, **environment):
    folder.mkdir()
    command = ["podman", "--root", folder / "root", "--runroot", folder / "runroot", "--storage-driver", "vfs"]
    return run([*command, *arguments], check=False, TMPDIR=str(folder), **environment)


def test_containerd(served, short):
    need("containerd", "ctr")
    images = served.images
    for registry in ("docker.io", "registry.test"):
        hosts = short / "hosts" / registry
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(
            f'server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:{served.proxy_port}"]\n'
            '  capabilities = ["pull", "resolve"]\n'
        )
    index = f"docker.io/library/tiny@{images.index.digest}"
    single = f"registry.test/team/app@{images.single.digest}"
    with containerd(short / "by-proxy") as sock:
        ctr(sock, "images", "pull", "--snapshotter", "native", index, **through_proxy(served))
        ctr(sock, "images", "pull", "--snapshotter", "native", single, **through_proxy(served))
        listed = ctr(sock, "images", "list").stdout
        assert images.index.digest in listed
        assert images.single.digest in listed
    with containerd(short / "by-mirror") as sock:
        ctr(sock, "images", "pull", "--snapshotter", "native", "--hosts-dir", short / "hosts", index)
        ctr(sock, "images", "pull", "--snapshotter", "native", "--hosts-dir", short / "hosts", single)
        listed = ctr(sock, "images", "list").stdout
        assert images.index.digest in listed
        assert images.single.digest in listed


def test_docker_pulls_and_runs(served, short):
    need("dockerd")
    images = served.images
    references = [f"tiny@{images.index.digest}", f"registry.test/team/app@{images.single.digest}"]
    with Docker(short / "by-proxy", through_proxy(served)).running() as docker:
        for reference in references:
            docker("pull", reference)
            assert docker("run", "--rm", "--network", "none", reference).stdout.strip() == GREETING
    with Docker(short / "by-mirror", mirror=served.proxy).running() as docker:
        docker("pull", references[0])
        assert docker("run", "--rm", "--network", "none", references[0]).stdout.strip() == GREETING


def test_referrers_are_kept_along(served, tmp_path):
    subject = served.images.single.digest
    index = json.loads(curl(served, f"https://registry.test/v2/team/app/referrers/{subject}"))
    assert [each["digest"] for each in index["manifests"]] == [served.images.artifact.digest]
    assert index["manifests"][0]["artifactType"] == "application/vnd.example.sbom"
    artifact = f"docker://registry.test/team/app@{served.images.artifact.digest}"
    done = run(["skopeo", "inspect", "--raw", artifact], **through_proxy(served))
    assert json.loads(done.stdout)["subject"]["digest"] == subject


def test_range_of_a_blob(served):
    layer = hashlib.sha256(bytes(BIG_BYTES)).hexdigest()
    url = f"https://registry.test/v2/team/app/blobs/sha256:{layer}"
    head = curl(served, url, "--head")
    assert f"Content-Length: {BIG_BYTES}" in head
    assert f"Docker-Content-Digest: sha256:{layer}" in head
    assert "206" in curl(served, url, "--range", "5-9", "--head")
    # Under a repository that does not need it, it is not served.
    assert "404" in curl(served, url.replace("team/app", "team/deep/tiny"), "--head")


def curl(mirror, url, *flags):
    return run(["curl", "-sS", "--proxy", mirror.proxy, "--cacert", mirror.ca, *flags, url]).stdout


def test_more_platforms_later(served):
    before = served.api(f"/images?digest={served.images.index.digest}&registry=docker.io")["images"][0]
    assert before["state"] == "present"
    with served.registry:
        done = served.run(
            "choose-platforms", before["id"], "--platform", "linux/s390x", "--wait", "--timeout", "60", check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + os.linesep
    url = f"https://registry-1.docker.io/v2/library/tiny/manifests/{served.images.unwanted.digest}"
    assert "200 OK" in curl(served, url, "--head")
