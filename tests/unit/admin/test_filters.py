"""What the templates write often."""

from datetime import UTC, datetime, timedelta
from datetime import timezone as zones

import pytest
from django.utils import timezone

from distfile_mirror.admin.templatetags.mirror import ago, digest, fact, size, uri


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1_048_575, "1 MiB"),
        (5 << 30, "5 GiB"),
        (2048 << 50, "2.05e+03 PiB"),
    ],
)
def test_sizes_have_three_digits(count, written):
    assert size(count) == written


@pytest.mark.parametrize(
    ("distance", "written"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (61, "1 minute ago"),
        (7300, "2 hours ago"),
        (-3700, "in 1 hour"),
        (86_400 * 400, "1 year ago"),
    ],
)
def test_times_are_spoken(distance, written):
    assert f">{written}</time>" in ago(
        timezone.now() - timedelta(seconds=distance, milliseconds=-1 if distance < 0 else 1)
    )


def test_an_address_breaks_after_slashes_and_keeps_every_character():
    written = uri("https://example.org:8443/a//b/c.tgz?x=<1>&y")
    assert '<span class="uri-host">example.org:8443</span>/<wbr>a/<wbr>/<wbr>b/<wbr>' in written
    assert '<strong class="uri-name">c.tgz</strong>?x=&lt;1&gt;&amp;y</span>' in written
    assert uri("<x>") == "&lt;x&gt;"


def test_digests_and_facts():
    assert "<span>aaaaaaaaaaaa</span>" in digest("a" * 64)
    assert ago(None) == ""
    assert [fact(value) for value in ({"md5": "1"}, ["a", "b"], {}, [], "", None, 0, "x")] == [
        "md5:1",
        "a, b",
        "none",
        "none",
        "none",
        "none",
        "0",
        "x",
    ]


def test_the_exact_time_is_utc():
    assert 'title="2026-01-31 23:30:00 UTC"' in ago(datetime(2026, 1, 31, 23, 30, tzinfo=UTC))
    assert 'title="2026-01-31 21:30:00 UTC"' in ago(datetime(2026, 1, 31, 23, 30, tzinfo=zones(timedelta(hours=2))))
