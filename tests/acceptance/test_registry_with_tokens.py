"""A real registry that wants tokens, from a token server that wants to know who asks."""

import json
import shutil

import pytest

from tests.acceptance.docker_registry import DockerRegistry, run
from tests.acceptance.running_mirror import RunningMirror
from tests.acceptance.token_server import ISSUER, SERVICE, TokenServer
from tests.image_layout import ImageLayout
from tests.requirements import skip
from tests.upstream_server import UpstreamServer

CREDENTIALS = "builder:s3cret-word"


@pytest.mark.parametrize("credentials", [None, CREDENTIALS], ids=["anonymous", "with credentials"])
def test_pull_with_a_token(tmp_path, authority, credentials):
    for program in ("docker-registry", "skopeo"):
        if not shutil.which(program):
            skip(f"the package {program} is not installed")
    tokens = TokenServer(authority, credentials=credentials)
    layout = ImageLayout(tmp_path / "layout")
    image = layout.tag("app", layout.image([layout.layer({"a": b"x" * 100_000})]))
    (tmp_path / "registry").mkdir()
    with UpstreamServer(authority.server_context("auth.test"), routes={"/token?": tokens}) as auth:
        config = (
            f"  token:\n    realm: https://auth.test/token\n    service: {SERVICE}\n"
            f"    issuer: {ISSUER}\n    rootcertbundle: {tokens.bundle(tmp_path)}\n"
        )
        # Filled without, then served with tokens.
        with DockerRegistry(tmp_path / "registry", authority, "registry.test") as registry:
            registry.push(layout, "app", "team/app")
        with (
            DockerRegistry(tmp_path / "registry", authority, "registry.test", auth=config) as registry,
            RunningMirror(
                tmp_path,
                upstream_ca=authority.ca_file,
                upstream={"registry.test": registry.port, "auth.test": auth.port},
                environment=login(tmp_path, credentials),
            ) as mirror,
        ):
            use = ("--project", "tests", "--reason", "to see it work")
            done = mirror.run(
                "add-image", f"registry.test/team/app@{image.digest}", *use, "--wait", "--timeout", "60", check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr + mirror.log.read_text()
            assert set(tokens.scopes) == {"repository:team/app:pull"}
            registry.stop()
            reference = f"docker://registry.test/team/app@{image.digest}"
            environment = {"HTTPS_PROXY": mirror.proxy, "SSL_CERT_FILE": str(mirror.ca)}
            run(["skopeo", "--insecure-policy", "copy", reference, f"dir:{tmp_path}/copy"], **environment)
            logged = mirror.log.read_text()
            assert "s3cret-word" not in logged
            assert "eyJ" not in logged  # how every JSON Web Token begins


def login(folder, credentials):
    if credentials is None:
        return {}
    user, _colon, password = credentials.partition(":")
    path = folder / "logins.json"
    path.write_text(json.dumps({"auths": {"registry.test": {"username": user, "password": password}}}))
    path.chmod(0o600)
    return {"DISTFILE_MIRROR_REGISTRY_CREDENTIALS_FILE": str(path)}
