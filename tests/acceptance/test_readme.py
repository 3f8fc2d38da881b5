"""Who copies the lines of README and docs, one after the other, gets through them, on a fresh clone."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.account_page import token_of
from tests.acceptance.pages import ROOT, Terminals, blocks
from tests.image_layout import ImageLayout, on
from tests.postgresql_server import PACKAGE, PostgresqlServer, find_binaries
from tests.requirements import skip
from tests.upstream_server import UpstreamServer, file

pytestmark = pytest.mark.timeout(900)

RFC = b"HTTP Semantics\n" * 9_000
FOO = b"foo\n"
TUTORIAL = "docs/tutorial/first-artifact.md"
SAME = b"the same bytes\n"  # whose sha256 the page about failed downloads has
# What Buildroot's does for two packages, with BR2_WGET as the page has it.
BUILDROOT = """
source: foo-source bar-source
%-source:
	wget -nd -t 3 --ca-certificate=mirror-ca.pem -O $*.part https://example.org/$*-1.2.tar.gz
"""
DATABASE_HOST = "db.example.org"  # its lines are run against a server of the tests' own
UNREACHABLE = re.compile(r"Retrying|ConnectionError|Connection refused|timed out|name resolution", re.IGNORECASE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone as a stranger has it, with what is not committed yet, after ``make setup``."""
    folder = tmp_path_factory.mktemp("fresh") / "distfile-mirror"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True, stdin=subprocess.DEVNULL)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        if (ROOT / name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        else:
            target.unlink(missing_ok=True)
    # The environment of this process, since the way to the package index may be in it.
    done = subprocess.run(
        ["make", "setup", f"PYTHON={sys.executable}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def upstream_server(authority):
    routes = {
        "/rfc/rfc9110.txt": file(RFC, Content_Type="text/plain"),
        "/foo-1.2.tar.gz": file(FOO),
        "/bar-3.0.tar.gz": file(FOO),
        "/typo-1.0.tar.gz": file(SAME),
        "/old/moved-1.0.tar.gz": file(SAME),
    }
    return UpstreamServer(authority.server_context("www.rfc-editor.org", "example.org"), routes=routes)


def registry_server(authority, folder):
    """Be Docker Hub, with one image for two platforms."""
    layout = ImageLayout(folder)
    layer = layout.layer({"etc/debian_version": b"12\n"})
    platforms = ("linux/amd64", "linux/arm64/v8")
    images = [layout.image([layer], platform=platform) for platform in platforms]
    index = layout.index(
        [image.descriptor(platform=on(platform)) for image, platform in zip(images, platforms, strict=True)]
    )
    routes = {f"/v2/library/debian/blobs/sha256:{path.name}": file(path.read_bytes()) for path in layout.blobs()}
    for reference, made in (("12", index), *((made.digest, made) for made in (index, *images))):
        routes[f"/v2/library/debian/manifests/{reference}"] = file(made.content, Content_Type=made.media_type)
    return UpstreamServer(authority.server_context("registry-1.docker.io"), routes=routes)


def terminals(folder, upstream, authority, registry=None, **more):
    led = dict.fromkeys(("www.rfc-editor.org", "example.org"), upstream.port)
    if registry is not None:
        led["registry-1.docker.io"] = registry.port
    return Terminals(folder, upstream=led, upstream_ca=authority.ca_file, **more)


def test_readme(clone, authority, tmp_path):
    serve, add, get, miss, checked, look, build, container = blocks("README.md")
    with registry_server(authority, tmp_path / "hub") as registry, ExitStack() as going:
        upstream = going.enter_context(upstream_server(authority))
        make = {"MAKEFLAGS": f"PYTHON={sys.executable}"}
        with terminals(clone, upstream, authority, registry, server_environment=make) as terminal:
            terminal.run(serve)
            assert f"is present: 132 KiB, sha256 {hashlib.sha256(RFC).hexdigest()}" in terminal.run(add)
            # Whatever happens upstream from now on is no concern of builds.
            going.close()
            terminal.run(get)
            assert (clone / "rfc9110.txt").read_bytes() == RFC
            told = terminal.run(miss)
            assert "https://example.org/foo-1.2.tar.gz is not mirrored" in told
            assert "distfile-mirror add --project PROJECT --reason WHY" in told
            assert "is present" in terminal.run(checked)
            told = terminal.run(look)
            assert "firmware: reference for the update client" in told
            assert "try: to see it work" in told
            (clone / "rfc9110.txt").unlink()
            terminal.run(build)
            assert (clone / "rfc9110.txt").read_bytes() == RFC
            assert re.search(r"docker.io/library/debian@sha256:[0-9a-f]{64} is present", terminal.run(container))
            assert "is up" in terminal.log()
    assert [request.target for request in upstream.requests] == ["/rfc/rfc9110.txt"]


def test_first_artifact(clone, authority):
    serve, build, first, declare, second, lose = blocks(TUTORIAL)
    shutil.rmtree(clone / "data", ignore_errors=True)
    make = {"MAKEFLAGS": f"PYTHON={sys.executable}"}
    content = b"You MUST NOT.\nIt is a mustard.\nYou MUST.\n"
    with upstream_server(authority) as upstream:
        upstream.routes["/rfc/rfc9110.txt"] = file(content)
        with terminals(clone, upstream, authority, server_environment=make) as terminal:
            terminal.run(serve)
            terminal.run(build)
            told = terminal.run(first)
            assert "404" in told
            assert "the build failed, as it should" in told
            assert "is present" in terminal.run(declare)
            assert terminal.run(second) == "2\n"
            del upstream.routes["/rfc/rfc9110.txt"]
            assert terminal.run(lose) == "2\n"
    assert [request.target for request in upstream.requests] == ["/rfc/rfc9110.txt"]


@contextmanager
def podman_storage(terminal):
    """Let podman keep its images in a folder whose path is short."""
    folder = Path(tempfile.mkdtemp(prefix="dm-", dir="/tmp"))
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
    )
    try:
        terminal.run(f"export CONTAINERS_STORAGE_CONF={folder}/storage.conf TMPDIR={folder}")
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def packed(name, content):
    """Return a gzipped tar archive of one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


class TestPages:
    """Each page of docs/howto, and the reference of the REST API, in a folder of its own."""

    @pytest.fixture
    def upstream(self, authority):
        with upstream_server(authority) as server:
            yield server

    @pytest.fixture
    def terminal(self, clone, tmp_path, tmp_path_factory, upstream, authority):
        programs = [clone / ".venv" / "bin"]
        with (
            registry_server(authority, tmp_path_factory.mktemp("hub") / "layout") as registry,
            terminals(tmp_path, upstream, authority, registry, path=programs) as running,
        ):
            yield running

    def test_run_a_build_through_it(self, terminal):
        terminal.run("distfile-mirror serve")
        told = [terminal.run(block) for block in blocks("docs/howto/run-a-build-through-it.md")]
        fingerprints = [set(re.findall(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", text)) for text in told]
        assert len(fingerprints[1]) == 1
        assert "404 Not declared in Distfile Mirror" in told[3]
        assert (terminal.folder / "foo-1.2.tar.gz").read_bytes() == FOO

    def test_use_your_own_ca(self, terminal):
        told = [terminal.run(block) for block in blocks("docs/howto/use-your-own-ca.md")]
        assert "CN=Corporate CA" in told[1]
        assert "ENCRYPTED" in (terminal.folder / "data" / "ca" / "ca.key").read_text()
        assert "BEGIN CERTIFICATE" in (terminal.folder / "mirror-ca.pem").read_text()

    def test_run_the_components_apart(self, terminal):
        page = blocks("docs/howto/run-the-components-apart.md")
        told = [terminal.run(block) for block in page if DATABASE_HOST not in block]
        assert any('"fetched": 1' in text for text in told)
        assert any('"damaged": 0, "finished": true' in text for text in told)
        got = terminal.run(
            "curl -sS --proxy http://127.0.0.1:3128 --cacert data/ca/ca.pem https://example.org/foo-1.2.tar.gz"
        )
        assert got.encode() == FOO

    def test_run_the_components_apart_on_postgresql(self, terminal):
        if not find_binaries():
            skip(f"the package {PACKAGE} is not installed")
        with PostgresqlServer() as server:
            server.create_database("mirror")
            server.sql("CREATE ROLE mirror LOGIN; ALTER DATABASE mirror OWNER TO mirror", "postgres")
            server.sql("CREATE EXTENSION pg_trgm; GRANT ALL ON SCHEMA public TO mirror", "mirror")
            for block in blocks("docs/howto/run-the-components-apart.md"):
                typed = block
                for user in ("mirror", "postgres"):
                    typed = typed.replace(f"postgresql://{user}@{DATABASE_HOST}/mirror", server.url("mirror", user))
                if typed != block:
                    terminal.run(typed)
            assert server.sql("SET ROLE web_proxy; SELECT count(*) FROM catalog_file", "mirror") == "0"
            with pytest.raises(AssertionError, match="permission denied"):
                server.sql("SET ROLE web_proxy; DELETE FROM catalog_file", "mirror")

    def test_when_a_download_fails(self, terminal, upstream):
        terminal.run("distfile-mirror serve")
        names = ("moved-1.0", "late-2.0")
        uris = " ".join(f"https://example.org/{name}.tar.gz" for name in names)
        say_why = "--project firmware --reason tests --wait"
        terminal.run(f"distfile-mirror add {uris} {say_why} || true")
        terminal.run(f"distfile-mirror add https://example.org/typo-1.0.tar.gz --checksum {'0' * 64} {say_why} || true")
        upstream.routes["/late-2.0.tar.gz"] = file(FOO)
        told = [terminal.run(block) for block in blocks("docs/howto/when-a-download-fails.md")]
        assert told[0].count("failed") == 3
        assert "404" in told[1]
        assert [text.count("is present") for text in told[2:]] == [1, 1, 1]

    def test_mirror_container_images(self, terminal):
        if shutil.which("podman") is None:
            skip("podman missing: apt-get install podman")
        terminal.run("distfile-mirror serve")
        by_digest, by_tag, more, pull = blocks("docs/howto/mirror-container-images.md")
        told = terminal.run("distfile-mirror add-image debian:12 --project firmware --reason tests 2>&1 || true")
        digest = re.search("sha256:([0-9a-f]{64})", told)[1]
        assert "is present" in terminal.run(by_digest.replace("DIGEST", digest))
        assert re.search(r"docker.io/library/debian@sha256:[0-9a-f]{64} is present", terminal.run(by_tag))
        chosen = terminal.run(more)
        assert chosen.startswith("1\tpresent\t")
        assert "is present" in chosen.splitlines()[-1]
        shown = json.loads(terminal.run("distfile-mirror show-image 1 --json"))
        assert [(each["platform"], each["state"]) for each in shown["platforms"]] == [
            ("linux/amd64", "present"),
            ("linux/arm64", "present"),
        ]
        with podman_storage(terminal):
            image = terminal.run(pull.replace("DIGEST", digest)).split()[-1]
            assert digest in terminal.run("podman images --digests --no-trunc")
            assert terminal.run(f"podman image inspect --format '{{{{.Os}}}}' {image}") == "linux\n"

    def test_find_what_a_build_needs(self, terminal):
        terminal.run("distfile-mirror serve")
        told = [terminal.run(block) for block in blocks("docs/howto/find-what-a-build-needs.md")]
        assert "not mirrored" in told[0]
        assert told[1].endswith("\tnot declared\thttps://example.org/foo-1.2.tar.gz\n")
        assert told[2].startswith("https://example.org/foo-1.2.tar.gz is declared (file ")

    def test_sign_in_and_roles(self, terminal):
        *accounts, with_token = blocks("docs/howto/sign-in-and-roles.md")
        told = [terminal.run(block) for block in accounts]
        assert told[-1].endswith("alice\tadministrator\taccounts\tenabled\n")
        admin = f"http://127.0.0.1:{terminal.ports['admin']}"
        token = token_of(admin, "alice", "a long and quiet river")
        assert terminal.run(with_token.replace("https://mirror.example.org", admin).replace("dfm_…", token)) == ""
        assert "401" in terminal.run("curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/api/v1/files")

    def test_store_blobs_in_s3(self, terminal, ceph_gateway):
        ceph_gateway.make_bucket("mirror-blobs")
        ours = {
            "EXAMPLEKEYID": ceph_gateway.access_key,
            "example/secret": ceph_gateway.secret_key,
            "https://s3.example.org": ceph_gateway.endpoint,
        }
        told = []
        for block in blocks("docs/howto/store-blobs-in-s3.md"):
            for theirs, here in ours.items():
                block = block.replace(theirs, here)  # noqa: PLW2901
            told.append(terminal.run(block))
        assert "ok" in told[3]
        assert "is present" in told[4]
        assert (terminal.folder / "foo-1.2.tar.gz").read_bytes() == FOO
        assert not (terminal.folder / "data" / "blobs").exists()
        assert "distfile_mirror_proxy_cache_fills_total" in told[5]
        sha256 = hashlib.sha256(FOO).hexdigest()
        assert ("PUT", f"/mirror-blobs/production/sha256/{sha256[:2]}/{sha256}", 200) in ceph_gateway.requests()

    def test_rest_api(self, terminal):
        terminal.run("distfile-mirror serve")
        told = [terminal.run(block) for block in blocks("docs/reference/rest-api.md")]
        assert '"openapi"' in (terminal.folder / "openapi.json").read_text()
        assert '"problem": "there is no miss 1"' in told[-3]
        assert json.loads((terminal.folder / "firmware.cdx.json").read_text())["specVersion"] == "1.6"
        assert "https://example.org/foo-1.2.tar.gz" in (terminal.folder / "firmware.csv").read_text()
        assert '"errors": [{"field": "uri"' in told[-1]

    def test_monitor_it(self, terminal):
        terminal.run("distfile-mirror serve")
        told, token, declared = [terminal.run(block) for block in blocks("docs/howto/monitor-it.md")]
        assert told.endswith("distfile_mirror_database_up 1.0\n")
        assert re.fullmatch("DISTFILE_MIRROR_METRICS_TOKEN=[0-9a-f]{64}\n", token)
        assert json.loads(declared)["uri"] == "https://example.org/foo-1.2.tar.gz"

    def test_set_up_bazel(self, terminal, upstream):
        if shutil.which("bazel") is None:
            skip("bazel missing: apt-get install bazel-bootstrap")
        terminal.run(f"export HOME={terminal.folder}")  # where Bazel keeps its server and all that it fetched
        terminal.run("distfile-mirror serve")
        archive = packed("hello-1.0/hello.txt", b"hello\n")
        upstream.routes["/hello-1.0.tar.gz"] = file(archive)
        export, bazelrc, workspace, declare, fetch = blocks("docs/howto/set-up-bazel.md")
        theirs = re.search("sha256:([0-9a-f]{64})", declare)[1]
        ours = hashlib.sha256(archive).hexdigest()
        for block in (export, bazelrc, workspace, declare):
            terminal.run(block.replace(theirs, ours))
        upstream.routes.clear()
        try:
            assert "All external dependencies fetched successfully" in terminal.run(fetch)
            again = fetch.replace("/empty", "/emptier").replace("fetch", "build", 1)
            terminal.run(f"sed -i 's/hello-1.0.tar/hello-2.0.tar/' WORKSPACE\n{again.strip()} > told 2>&1 || true")
        finally:
            terminal.run("bazel --bazelrc=mirror.bazelrc shutdown")
        assert "404 Not declared in Distfile Mirror" in (terminal.folder / "told").read_text()
        assert [request.target for request in upstream.requests] == ["/hello-1.0.tar.gz"]

    def test_set_up_buildroot(self, terminal):
        terminal.run("distfile-mirror serve")
        authority, proxy, source, wget, declare = blocks("docs/howto/set-up-buildroot.md")
        terminal.run(authority)
        terminal.run(proxy)
        (terminal.folder / "Makefile").write_text(BUILDROOT)
        assert terminal.run(f"{source.strip()} 2>&1 || true").count("404: Not declared in Distfile Mirror") == 2
        told = terminal.run(f"{wget}\nexport WGET")
        assert "404: Not declared in Distfile Mirror" in told
        assert "not yet" in told
        terminal.run(declare)
        assert (terminal.folder / "foo-1.2.tar.gz").read_bytes() == FOO

    def test_none_is_left_out(self):
        """A new page gets a test of its own here, or where what it tells of is tested."""
        tested = {f"{name.removeprefix('test_').replace('_', '-')}.md" for name in dir(type(self))}
        others = "".join(path.read_text() for path in (ROOT / "tests" / "acceptance").glob("test_*.py"))
        tested |= set(re.findall(r'^\w+ = "docs/(?:howto|tutorial)/([\w-]+\.md)"', others, re.MULTILINE))
        pages = [*(ROOT / "docs" / "howto").glob("*.md"), *(ROOT / "docs" / "tutorial").glob("*.md")]
        assert {path.name for path in pages} <= tested
