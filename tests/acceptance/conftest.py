"""What acceptance tests share: an upstream with a CA of its own, and the product running on it."""

import resource

import pytest

from tests.acceptance.running_mirror import RunningMirror
from tests.upstream_server import TestAuthority, UpstreamServer


@pytest.fixture(scope="session", autouse=True)
def _many_connections():
    """Let the tests, which are thousands of clients, have as many file descriptors as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def upstream(authority):
    """A TLS upstream that answers for up.test."""
    with UpstreamServer(authority.server_context("up.test", "other.test")) as server:
        yield server


@pytest.fixture
def mirror(tmp_path, authority, upstream):
    """`serve`, whose downloads of up.test come from ``upstream``."""
    with RunningMirror(
        tmp_path, upstream_ca=authority.ca_file, upstream={"up.test": upstream.port, "other.test": upstream.port}
    ) as running:
        yield running
