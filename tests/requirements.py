"""What to do where a machine lacks what a test needs."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "DISTFILE_MIRROR_REQUIRE_ALL"


def skip(reason: str) -> NoReturn:
    """Skip the test; or fail it where nothing may be left out, which the environment says."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_ALL}=1 lets nothing be skipped")
    pytest.skip(reason)


def is_root():
    """Tell whether this is root of the whole machine, not of a namespace of its own."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]
