"""What people read when something is not there."""

import pytest

from distfile_mirror.catalog.found import FoundFile
from distfile_mirror.model.states import State
from distfile_mirror.proxy.pages import error_page, home_page, miss_page, render
from distfile_mirror.proxy.responses import REASONS

ADMIN = "http://127.0.0.1:8080"
URI = "https://example.org/a?b=<script>&c='\""


def found(state, message="because", **more):
    return FoundFile(URI, state, message, "", 0, **more)


def test_undeclared_links_to_the_form_filled_in_and_shows_the_command():
    page = miss_page(URI, None, ADMIN)
    assert page.status == 404
    assert page.link == f"{ADMIN}/files/declare?uri=https%3A%2F%2Fexample.org%2Fa%3Fb%3D%3Cscript%3E%26c%3D%27%22"
    _, text = render(page, html=False)
    assert URI.encode() in text
    assert b"distfile-mirror add" in text


def test_html_is_inert():
    _, html = render(miss_page(URI, None, ADMIN), html=True)
    assert b"<script>" not in html
    assert b"&lt;script&gt;" in html


@pytest.mark.parametrize("state", [state for state in State if state is not State.PRESENT])
def test_every_state_is_explained(state):
    page = miss_page(URI, found(state), ADMIN)
    assert page.status == (451 if state is State.BLOCKED else 404)
    assert page.reason.isascii()
    text = " ".join(page.paragraphs)
    assert URI in text
    if state is not State.REQUESTED:
        assert "because" in text


def test_progress_is_told():
    page = miss_page(URI, found(State.FETCHING, "", received_bytes=1000, total_bytes=5000), ADMIN)
    assert "1,000 of 5,000 bytes" in page.paragraphs[1]


@pytest.mark.parametrize(
    "uri", ["https://g.test/p.git/info/refs?service=git-upload-pack", "https://g.test/p/git-upload-pack"]
)
def test_git_gets_advice_of_its_own(uri):
    assert "bundle" in miss_page(uri, None, ADMIN).paragraphs[0]


def test_the_type_is_told_and_cannot_be_guessed():
    lines, _ = render(error_page(503, "wait", {"Retry-After": "5"}), html=False)
    assert lines == (
        b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 5\r\n"
    )


def test_every_status_has_a_reason():
    assert all(reason.isascii() for reason in REASONS.values())


def test_home_says_what_it_is_and_where():
    _, html = render(home_page(ADMIN, "http://127.0.0.1:3128", "AB:CD"), html=True)
    for part in (ADMIN, "http://127.0.0.1:3128/ca.pem", "AB:CD"):
        assert part.encode() in html
