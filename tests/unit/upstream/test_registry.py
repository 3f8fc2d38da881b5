"""The registry client against a real server; what goes wrong is in tests/acceptance/test_hostile_registries.py."""

import asyncio
import ipaddress

import pytest

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.addresses import ConnectTo
from distfile_mirror.model.manifests import OCI_INDEX, OCI_MANIFEST
from distfile_mirror.upstream.http import Upstream
from distfile_mirror.upstream.registry import RegistryClient, RegistrySettings, ResolvedTag
from distfile_mirror.upstream.registry_credentials import Credentials
from distfile_mirror.upstream.registry_statuses import NotInRegistryError
from distfile_mirror.upstream.settings import UpstreamSettings
from tests.registry_server import NAMES, Login, RegistryServer
from tests.upstream_server import TestAuthority

NAME = "team/app"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority):
    with RegistryServer(tls=authority.server_context(*NAMES)) as server:
        yield server


@pytest.fixture
def ask(authority, server):
    """Run a coroutine function of a client."""
    settings = UpstreamSettings(
        allow_network=(ipaddress.ip_network("127.0.0.0/8"),),
        connect_to=(ConnectTo("", 443, "127.0.0.1", server.port),),
        upstream_ca=authority.ca_file,
        connect_timeout=5,
        stall_timeout=5,
    )

    async def run(function, registries):
        async with Upstream(settings) as upstream:
            return await function(RegistryClient(upstream, registries))

    return lambda function, registries=RegistrySettings(): asyncio.run(run(function, registries))  # noqa: B008


def test_resolve_an_image(server, ask):
    described = server.push_image(NAME, [b"layer"], tag="1.0")
    found = ask(lambda client: client.resolve("registry.test", NAME, "1.0"))
    assert found == ResolvedTag(described["digest"], OCI_MANIFEST)
    assert [request.target for request in server.requests] == [f"/v2/{NAME}/manifests/1.0"]


def test_resolve_an_index(server, ask):
    children = [server.push_image(NAME, [word], platform=f"linux/{word.decode()}") for word in (b"amd64", b"arm")]
    index = server.push_index(NAME, children, tag="latest")
    found = ask(lambda client: client.resolve("registry.test", NAME, "latest"))
    assert found == ResolvedTag(index["digest"], OCI_INDEX, ("linux/amd64", "linux/arm"))


def test_resolve_goes_by_the_bytes_and_not_by_what_the_registry_says(server, ask):
    described = server.push_image(NAME, [b"layer"], tag="1.0")
    content, media_type = server.manifests[NAME, "1.0"]
    headers = {"Content-Type": media_type, "Docker-Content-Digest": "sha256:" + "0" * 64}
    server.faults[f"/v2/{NAME}/manifests/1.0"] = lambda exchange: exchange.respond(content, headers=headers)
    assert ask(lambda client: client.resolve("registry.test", NAME, "1.0")).digest == described["digest"]


def test_resolve_what_is_not_there(server, ask):
    with pytest.raises(NotInRegistryError, match=r"registry\.test/team/app:1\.0"):
        ask(lambda client: client.resolve("registry.test", NAME, "1.0"))


def test_many_that_are_refused_get_one_token(server, ask):
    server.login = Login()
    described = server.push_image(NAME, [b"layer"])

    async def many(client):
        get = [client.get_manifest("registry.test", NAME, described["digest"]) for _ in range(10)]
        return await asyncio.gather(*get)

    assert len(ask(many)) == 10
    assert server.login.issued == 1


def test_tokens_are_of_one_repository(server, ask):
    server.login = Login()
    one, other = server.push_image(NAME, [b"layer"]), server.push_image("other/app", [b"layer"])

    async def both(client):
        for _ in range(2):
            await client.get_manifest("registry.test", NAME, one["digest"])
            await client.get_manifest("registry.test", "other/app", other["digest"])

    ask(both)
    assert server.login.issued == 2


def test_credentials_are_for_their_registry_alone(server, ask):
    server.login = Login(users={"ann": "secret"})
    described = server.push_image(NAME, [b"layer"])
    registries = RegistrySettings(credentials={"other.test": Credentials("ann", "secret")})
    with pytest.raises(PermanentFetchError, match="private"):
        ask(lambda client: client.get_manifest("registry.test", NAME, described["digest"]), registries)
    assert not any("authorization" in request.headers for request in server.requests)


def test_credentials_are_shown_to_the_token_address_and_not_to_the_registry(server, ask):
    server.login = Login(users={"ann": "secret"})
    described = server.push_image(NAME, [b"layer"])
    registries = RegistrySettings(credentials={"registry.test": Credentials("ann", "secret")})
    assert "secret" not in repr(registries)
    ask(lambda client: client.get_manifest("registry.test", NAME, described["digest"]), registries)
    shown = [(request.host, request.headers.get("authorization", "").partition(" ")[0]) for request in server.requests]
    assert shown == [("registry.test", ""), ("auth.test", "Basic"), ("registry.test", "Bearer")]


def test_a_token_address_that_redirects_elsewhere_gets_no_credentials_there(server, ask):
    server.login = Login(users={"ann": "secret"})
    server.login.give_token = lambda exchange: exchange.respond(status=302, headers={"Location": "https://evil.test/t"})
    server.routes["evil.test/t"] = lambda exchange: exchange.respond(b'{"token": "x"}')
    described = server.push_image(NAME, [b"layer"])
    registries = RegistrySettings(credentials={"registry.test": Credentials("ann", "secret")})
    with pytest.raises(PermanentFetchError):
        ask(lambda client: client.get_manifest("registry.test", NAME, described["digest"]), registries)
    assert "authorization" not in server.asked("/t")[0].headers
