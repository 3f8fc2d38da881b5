"""A context whose blob store has one file."""

from dataclasses import replace

import pytest

from tests.unit.catalog.files import digests_of_content


@pytest.fixture(autouse=True)
def context(settings):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, digests_of=digests_of_content)
    return settings.DISTFILE_MIRROR
