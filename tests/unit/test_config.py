"""Settings from flags, environment and file, and everything that can be wrong with them at once."""

import ipaddress
from pathlib import Path

import pytest

from distfile_mirror.blobs.locations import BlobsLocation
from distfile_mirror.config import Config, ConfigurationError, load_config
from distfile_mirror.model.addresses import ConnectTo, ListenAddress


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("DISTFILE_MIRROR_"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_nothing_needs_to_be_configured():
    config = load_config()
    assert config.proxy_listen == ListenAddress("127.0.0.1", 3128)
    assert config.admin_listen == ListenAddress("127.0.0.1", 8080)
    assert config.effective_database_url == f"sqlite:///{Path('data').absolute()}/catalog.sqlite3"
    assert config.effective_admin_url == "http://127.0.0.1:8080"
    assert config.workers >= 1


def test_flags_win_over_environment_over_file(tmp_path, environment):
    file = tmp_path / "mirror.toml"
    file.write_text('workers = 3\nproxy_listen = "127.0.0.1:1"\nadmin_listen = "127.0.0.1:2"\n')
    environment.setenv("DISTFILE_MIRROR_PROXY_LISTEN", "127.0.0.1:10")
    environment.setenv("DISTFILE_MIRROR_ADMIN_LISTEN", "127.0.0.1:20")
    config = load_config({"admin_listen": "127.0.0.1:200", "data_dir": None}, file)
    assert (config.workers, config.proxy_listen.port, config.admin_listen.port) == (3, 10, 200)


@pytest.mark.parametrize("text", ["10.0.0.0/8,fd00::/8", "10.0.0.0/8 fd00::/8", "10.0.0.0/8, fd00::/8"])
def test_lists_are_written_in_one_line_of_the_environment(environment, text):
    environment.setenv("DISTFILE_MIRROR_ALLOW_NETWORK", text)
    assert load_config().allow_network == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def test_hosts_of_the_admin_are_written_as_in_a_url(environment):
    environment.setenv("DISTFILE_MIRROR_ADMIN_HOSTS", "10.0.0.7 fd00::7 [fd00::8] admin.internal.test")
    assert load_config().admin_hosts == ("10.0.0.7", "[fd00::7]", "[fd00::8]", "admin.internal.test")


def test_connect_to_as_curl_has_it():
    given = ["a.test:443:127.0.0.1:8443", "::[::1]:80", ":8080::"]
    assert load_config({"connect_to": given}).connect_to == (
        ConnectTo("a.test", 443, "127.0.0.1", 8443),
        ConnectTo("", None, "[::1]", 80),
        ConnectTo("", 8080, "", None),
    )


def test_every_mistake_is_in_the_one_message(tmp_path, environment):
    file = tmp_path / "mirror.toml"
    file.write_text('wrokers = 3\nlog_format = "yaml"\n')
    environment.setenv("DISTFILE_MIRROR_PROXY_LISTEN", "nowhere")
    with pytest.raises(ConfigurationError) as caught:
        load_config(
            {"admin_listen": "0.0.0.0:80", "workers": "0", "allow_network": ["10.0.0.1/8"], "upstream_ca": "/nope"},
            file,
        )
    message = str(caught.value)
    for part in (
        "wrokers: there is no such setting",
        "log_format:",
        "proxy_listen: 'nowhere' is not HOST:PORT",
        "admin_listen: 0.0.0.0:80 can be reached by others",
        "workers: Input should be greater than 0",
        "allow_network: 10.0.0.1/8 has host bits set",
        "upstream_ca: /nope is not a file",
    ):
        assert part in message


@pytest.mark.parametrize("content", ["workers = ", "\xff"])
def test_a_file_that_is_not_toml(tmp_path, content):
    file = tmp_path / "mirror.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_config({}, file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config({}, tmp_path / "none.toml")


@pytest.fixture
def credentials(tmp_path):
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {"ghcr.io": {"username": "ann", "password": "secret"}}}')
    file.chmod(0o600)
    return file


def test_the_environment_means_the_same_as_flags(environment, credentials):
    flags = {
        "default_platforms": ["linux/amd64", "linux/arm/v7"],
        "plain_http_registries": ["host:5000", "https://other.test/mirror/v2/"],
        "registry_credentials_file": str(credentials),
        "data_dir": "/srv/mirror",
        "allow_network": ["10.0.0.0/8", "fd00::/8"],
        "connect_to": ["a.test:443:127.0.0.1:8443", "::[::1]:80"],
        "proxy_listen": "[::1]:3128",
        "ca_passphrase": "open sesame",
        "download_backoff": "0.5",
        "sign_in": "accounts, oidc header",
        "oidc_issuer": "https://id.test/realm/",
        "oidc_client_id": "mirror",
        "oidc_client_secret": "only for the provider",
        "auth_header_from": "10.1.0.0/16",
        "role_groups": '{"approver": "CN=release team,DC=test", "administrator": ["a", "b"]}',
        "default_role": "viewer",
        "require_approval": "yes",
        "metrics_token": "scrape",
        "blobs_url": "s3://bucket/prefix",
        "s3_endpoint": "https://s3.example.org:9000/",
        "s3_path_style": "no",
    }
    config = load_config(flags)
    for name, value in flags.items():
        environment.setenv(f"DISTFILE_MIRROR_{name.upper()}", value if isinstance(value, str) else " ".join(value))
    assert load_config() == config


@pytest.mark.parametrize(
    ("given", "platforms"),
    [
        ("linux/amd64 linux/ARM64/v8", ("linux/amd64", "linux/arm64")),
        (["all"], ("all",)),
        ("none", ("none",)),
    ],
)
def test_platforms(given, platforms):
    assert load_config({"default_platforms": given}).default_platforms == platforms
    assert load_config().default_platforms == ("linux/amd64",)


def test_mistakes_about_registries_are_listed(credentials):
    credentials.chmod(0o644)
    with pytest.raises(ConfigurationError) as refused:
        load_config(
            {
                "default_platforms": "linux",
                "plain_http_registries": "ftp://host",
                "registry_credentials_file": str(credentials),
            }
        )
    text = str(refused.value)
    assert "default_platforms: 'linux' is not a platform" in text
    assert "plain_http_registries: 'ftp://host'" in text
    assert f"registry_credentials_file: {credentials}" in text
    assert "chmod 600" in text


def test_secrets_are_not_shown():
    secrets = {"ca_passphrase": "open sesame", "metrics_token": "open sesame", "oidc_client_secret": "open sesame"}
    assert "sesame" not in repr(load_config(secrets))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"admin_listen": "0.0.0.0:80"}, "set sign_in to accounts, oidc or header"),
        ({"sign_in": "passwords"}, "sign_in: passwords is no sign-in; possible: none, accounts, oidc, header"),
        ({"sign_in": "none accounts"}, "none goes with no other"),
        ({"sign_in": "oidc", "oidc_client_id": "x"}, "oidc needs oidc_issuer and oidc_client_secret too"),
        ({"sign_in": "header"}, "header needs auth_header_from too"),
        ({"oidc_issuer": "http://id.test"}, "begins with https://"),
        ({"role_groups": "approver=x"}, "role_groups:"),
        ({"role_groups": '["x"]'}, "write a table"),
        ({"role_groups": '{"boss": "x"}'}, "role_groups:"),
        ({"default_role": "boss"}, "default_role:"),
        ({"auth_header": "X-User:"}, "auth_header:"),
    ],
)
def test_a_sign_in_that_cannot_work_is_refused(given, told):
    with pytest.raises(ConfigurationError) as refused:
        load_config(given)
    assert told in str(refused.value)


def test_with_a_sign_in_others_may_reach_the_admin(tmp_path):
    file = tmp_path / "mirror.toml"
    file.write_text('sign_in = ["accounts"]\nadmin_listen = "0.0.0.0:80"\n[role_groups]\napprover = ["x", "y z"]\n')
    config = load_config({}, file)
    assert config.admin_listen.port == 80
    assert config.role_groups == {"approver": ("x", "y z")}


def test_every_setting_is_explained():
    assert all(field.description for field in Config.model_fields.values())


@pytest.mark.parametrize(
    ("given", "scheme", "bucket", "path"),
    [
        ("file:///srv/mirror/blobs", "file", "", "/srv/mirror/blobs"),
        ("file:///srv/with%20space", "file", "", "/srv/with space"),
        ("s3://bucket", "s3", "bucket", ""),
        ("s3://bucket/", "s3", "bucket", ""),
        ("s3://bucket/some/prefix/", "s3", "bucket", "some/prefix"),
        ("gs://bucket/prefix", "gs", "bucket", "prefix"),
        ("az://container/prefix", "az", "container", "prefix"),
    ],
)
def test_where_blobs_are(given, scheme, bucket, path):
    config = load_config({"blobs_url": given})
    assert config.blobs_location == BlobsLocation(scheme, bucket, path)
    assert load_config({"blobs_url": config.blobs_url}) == config


def test_blobs_are_in_the_data_folder_by_default():
    assert load_config({"data_dir": "/srv/mirror"}).blobs_location.folder == Path("/srv/mirror/blobs")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("/srv/blobs", "is no place for blobs; write one such as file:///srv/mirror/blobs or s3://bucket/prefix"),
        ("ftp://host/x", "is no place for blobs"),
        ("file:blobs", "is not an absolute path; write it with three slashes"),
        ("file://srv/blobs", "is not an absolute path"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket/a//b", "has an empty part or dots"),
        ("s3://bucket/../b", "has an empty part or dots"),
        ("s3://bucket?region=x", "has a query"),
        ("s3://key:secret@bucket/prefix", "credentials do not belong in the URL"),
    ],
)
def test_places_that_no_blobs_can_be_in(given, told):
    with pytest.raises(ConfigurationError) as refused:
        load_config({"blobs_url": given})
    assert f"blobs_url: {told}" in str(refused.value) or (f"blobs_url: '{given}' {told}") in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_mistakes_about_s3_are_listed(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    key = tmp_path / "key"
    key.write_text("KEY\n")
    with pytest.raises(ConfigurationError) as refused:
        load_config({"s3_endpoint": "s3.example.org", "s3_secret_access_key_file": str(empty), "cache_bytes": "0"})
    text = str(refused.value)
    assert "s3_endpoint: write the address of a server" in text
    assert f"s3_secret_access_key_file: {empty} must hold one word" in text
    assert "cache_bytes: Input should be greater than 0" in text
    with pytest.raises(ConfigurationError, match="s3_access_key_id_file and s3_secret_access_key_file go together"):
        load_config({"s3_secret_access_key_file": str(key)})
    with pytest.raises(ConfigurationError, match="s3_access_key_id_file: /none cannot be read: No such file"):
        load_config({"s3_access_key_id_file": "/none"})
    with pytest.raises(ConfigurationError, match="go together"):
        load_config({"s3_access_key_id_file": str(key)})
