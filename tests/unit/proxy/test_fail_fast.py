"""Asking a catalog that hangs."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from distfile_mirror.errors import UnavailableError
from distfile_mirror.proxy import fail_fast
from distfile_mirror.proxy.fail_fast import FailFastFind


class Catalog:
    """Answers when ``answers`` is set; fails if it is ``away``."""

    def __init__(self):
        self.answers = Event()
        self.away = True
        self.asked = 0

    def find(self, _uri, _request):
        self.asked += 1
        self.answers.wait()
        if self.away:
            raise UnavailableError("unplugged")


def wait_for(condition):
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_catalog_that_refuses_is_asked_by_all():
    catalog = Catalog()
    catalog.answers.set()
    find = FailFastFind(catalog.find)
    for _ in range(5):
        with pytest.raises(UnavailableError, match="unplugged"):
            find("a", None)
        assert not find.hangs
    assert catalog.asked == 5


def test_a_catalog_that_hangs_is_asked_by_one_at_a_time_until_it_answers():
    catalog = Catalog()
    find = FailFastFind(catalog.find)
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(find, "a", None)
            wait_for(lambda: catalog.asked)
            assert not find.hangs
            wait_for(lambda: find.hangs)
            with pytest.raises(UnavailableError, match="others have been waiting"):
                find("b", None)
            catalog.answers.set()
            assert isinstance(first.exception(5), UnavailableError)
            assert not find.hangs
            catalog.answers.clear()
            pool.submit(find, "a", None)
            wait_for(lambda: catalog.asked == 2)
            begun = time.monotonic()
            with pytest.raises(UnavailableError, match="others have been waiting"):
                find("b", None)
            assert time.monotonic() - begun < fail_fast.HANGING_SECONDS
            catalog.away = False
            catalog.answers.set()
            wait_for(lambda: not find.hangs)
            assert find("b", None) is None
            catalog.answers.clear()
            pool.submit(find, "a", None)
            wait_for(lambda: catalog.asked == 4)
            assert not find.hangs
        finally:
            catalog.answers.set()
