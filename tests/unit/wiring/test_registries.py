import pytest

from distfile_mirror.config import ConfigurationError, load_config
from distfile_mirror.upstream.registry_credentials import Credentials
from distfile_mirror.wiring.registries import resolve_tag
from distfile_mirror.wiring.upstreams import registry_settings
from tests.registry_server import Login, RegistryServer


@pytest.fixture
def credentials(tmp_path):
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {"127.0.0.1": {"username": "ann", "password": "secret"}}}')
    file.chmod(0o600)
    return file


def test_a_tag_is_resolved_with_what_is_configured(credentials):
    with RegistryServer() as server:
        registry = f"127.0.0.1:{server.port}"
        credentials.write_text(credentials.read_text().replace("127.0.0.1", registry))
        server.login = Login(realm=f"http://{registry}/token", users={"ann": "secret"})
        described = server.push_image("team/app", [b"layer"], tag="1.0")
        config = load_config(
            {
                "allow_network": ["127.0.0.0/8"],
                "plain_http_registries": registry,
                "registry_credentials_file": str(credentials),
            }
        )
        resolve = resolve_tag(config)
        assert resolve(registry, "team/app", "1.0").digest == described["digest"]
        assert resolve(registry, "team/app", "1.0").digest == described["digest"]


def test_credentials_are_read_anew_by_each_process(credentials):
    config = load_config(
        {"registry_credentials_file": str(credentials), "plain_http_registries": "index.docker.io host"}
    )
    settings = registry_settings(config)
    assert settings.credentials == {"127.0.0.1": Credentials("ann", "secret")}
    assert settings.plain_http == {"docker.io", "host"}
    credentials.unlink()
    with pytest.raises(ConfigurationError, match=r"registry_credentials_file: .*cannot be read"):
        registry_settings(config)
