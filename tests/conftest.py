"""What all tests share."""

import signal

import pytest

from tests.ceph_gateway import BUCKET, CephGateway


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard():
    """Hear SIGINT, and let the programs that tests start hear it: who is run in the background may be told not to."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _ceph_gateway():
    with CephGateway() as gateway:
        gateway.make_bucket(BUCKET)
        yield gateway


@pytest.fixture
def ceph_gateway(_ceph_gateway):
    """An S3 server with the bucket of the contract suite, up again after a test that stopped it."""
    yield _ceph_gateway
    _ceph_gateway.ensure_up()
