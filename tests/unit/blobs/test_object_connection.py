"""How an object store is reached: TLS, and settings that cannot be used."""

import re
from dataclasses import replace

import pytest

from distfile_mirror.blobs.locations import BlobsLocation, parse_endpoint
from distfile_mirror.blobs.object_connection import S3Settings, connect
from distfile_mirror.blobs.object_store import ObjectBlobStore
from distfile_mirror.errors import StorageError
from tests.upstream_server import TestAuthority, UpstreamServer

BUCKET = BlobsLocation("s3", "bucket", "prefix")


@pytest.fixture
def settings(tmp_path):
    for name in ("key", "secret"):
        (tmp_path / name).write_text(f"{name}\n")
    return S3Settings(access_key_id_file=tmp_path / "key", secret_access_key_file=tmp_path / "secret")


def store(tmp_path, settings):
    return ObjectBlobStore(connect(BUCKET, settings), name="s3://bucket/prefix", folder=tmp_path)


def test_a_ca_of_ones_own(tmp_path, settings):
    authority = TestAuthority(tmp_path)
    with UpstreamServer(authority.server_context("127.0.0.1")) as server:
        settings = replace(settings, endpoint=f"https://127.0.0.1:{server.port}")
        with pytest.raises(StorageError, match="has a certificate that is not trusted: name the file of its CA in"):
            store(tmp_path, settings).check()
        assert not server.requests
        store(tmp_path, replace(settings, ca_file=authority.ca_file)).check()
        (request,) = server.requests
    assert request.target == "/bucket/prefix/sha256/is-anybody-there"
    assert "Credential=key/" in request.headers["authorization"]
    assert "secret" not in str(request)


def test_a_ca_that_is_none(tmp_path, settings):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for file in ("ca.pem", "none.pem"):
        with pytest.raises(ValueError, match="s3://bucket/prefix cannot be used: ") as refused:
            connect(BUCKET, replace(settings, ca_file=tmp_path / file))
        assert "\n" not in str(refused.value)


def test_an_answer_that_is_not_of_this_world(tmp_path, settings):
    """Something else listens there: the error is one line, and bounded."""
    with UpstreamServer() as server:
        server.routes["/bucket/prefix/sha256/is-anybody-there?"] = lambda exchange: exchange.respond(
            b"<h1>no</h1>" * 1000, status=418, reason="I am a teapot"
        )
        with pytest.raises(
            StorageError, match=re.escape(f"at http://127.0.0.1:{server.port} does not do as it should: ")
        ) as refused:
            store(tmp_path, replace(settings, endpoint=f"http://127.0.0.1:{server.port}")).check()
    assert "418" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("location", [BlobsLocation("gs", "bucket", "p"), BlobsLocation("az", "container", "p")])
def test_other_stores_take_their_settings_from_the_environment(location, monkeypatch):
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    if location.scheme == "az":
        with pytest.raises(ValueError, match=r"az://container/p cannot be used: .*[Aa]ccount"):
            connect(location, S3Settings())
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    connections = connect(location, S3Settings())
    assert connections.reading.prefix == connections.writing.prefix == "p"


@pytest.mark.parametrize("text", ["s3.example.org", "ftp://host", "https://", "https://a:b@host", "https://host/?x=y"])
def test_what_is_no_endpoint(text):
    with pytest.raises(ValueError, match="write the address of a server without credentials"):
        parse_endpoint(text)
    assert parse_endpoint("https://host:1/") == "https://host:1"
