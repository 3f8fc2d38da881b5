import pytest
from multidict import CIMultiDict

from distfile_mirror.downloaders.verify import Digests
from distfile_mirror.downloaders.verify_blob import verify_blob
from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.model.digests import digest_of
from distfile_mirror.model.manifests import Descriptor
from distfile_mirror.upstream.settings import Head, Received

CONTENT = b"the layer"


def verify(content, *, algorithm="sha256", announced=True, resumed=False):
    fields = CIMultiDict({"Content-Length": str(len(content))} if announced else {})
    expected = Descriptor(digest_of(CONTENT, algorithm), len(CONTENT), "", "layer")
    found = Digests({name: digest_of(content, name).hex for name in ("sha256", "sha512")})
    verify_blob(expected, found, Received(Head(200, "", fields, ""), len(content), resumed))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_verify(algorithm):
    verify(CONTENT, algorithm=algorithm)
    with pytest.raises(PermanentFetchError, match=f"expected {algorithm}:.*got {algorithm}:"):
        verify(CONTENT[::-1], algorithm=algorithm)


def test_sizes():
    with pytest.raises(PermanentFetchError, match="has 9 bytes, and the upstream gave 8"):
        verify(CONTENT[:-1])


def test_what_may_be_cut_is_tried_again():
    with pytest.raises(TransientFetchError, match="may be cut"):
        verify(CONTENT[:-1], announced=False)


def test_parts_that_do_not_fit_are_tried_again():
    with pytest.raises(TransientFetchError, match="in parts"):
        verify(CONTENT[::-1], resumed=True)
