import pytest
from multidict import CIMultiDict

from distfile_mirror.model.digests import Digest
from distfile_mirror.upstream.registry_referrers import cosign_tags, next_page, referrers_tag
from distfile_mirror.upstream.settings import Head

BASE = "https://r.test/v2/team/app/"
HERE = BASE + "referrers/sha256:0"


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ('</v2/team/app/referrers/sha256:0?last=5>; rel="next"', "referrers/sha256:0?last=5"),
        (f"<{HERE}?last=5>;rel=next", "referrers/sha256:0?last=5"),
        ("<?last=5>; rel=next", "referrers/sha256:0?last=5"),
        ('<x>; title="a"; rel="next"', "referrers/x"),
        ("<https://evil.test/v2/team/app/x>; rel=next", None),
        ("</v2/other/app/x>; rel=next", None),
        ("</v2/team/app/x>; rel=prev", None),
        ("next", None),
    ],
)
def test_next_page(link, path):
    assert next_page(Head(200, "", CIMultiDict({"Link": link}), HERE), BASE) == path


def test_no_next_page():
    assert next_page(Head(200, "", CIMultiDict(), HERE), BASE) is None


def test_tags():
    digest = Digest("sha256", "a" * 64)
    assert referrers_tag(digest) == "sha256-" + "a" * 64
    assert cosign_tags(digest) == ["sha256-" + "a" * 64 + suffix for suffix in (".sig", ".att", ".sbom")]
    # A tag has at most 128 characters.
    assert len(referrers_tag(Digest("sha512", "a" * 128))) == 128
