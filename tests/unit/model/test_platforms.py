import pytest
from hypothesis import given
from hypothesis import strategies as st

from distfile_mirror.model.platforms import Platform, PlatformChoice, make_platform, parse_choice, parse_platform

words = st.sampled_from(
    ["linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64", "Linux/x86_64"]
)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        (" Linux/X86_64 ", Platform("linux", "amd64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
        ("linux/amd64/v2", Platform("linux", "amd64", "v2")),
    ],
)
def test_platforms(text, platform):
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "linux/é"])
def test_what_is_no_platform(text):
    with pytest.raises(ValueError, match="linux/amd64"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("chosen", "there", "meant"),
    [
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm", False),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/amd64", "windows/amd64", False),
        ("all", "windows/amd64", True),
        ("none", "linux/amd64", False),
    ],
)
def test_what_is_meant(chosen, there, meant):
    assert parse_choice([chosen]).includes(parse_platform(there)) is meant


@pytest.mark.parametrize("texts", [[], [""], ["none", "linux/amd64"], ["none", "all"], ["linux"], [","]])
def test_what_is_no_choice(texts):
    with pytest.raises(ValueError):
        parse_choice(texts)


def test_several_in_one():
    assert parse_choice(["linux/amd64, linux/arm64"]) == parse_choice(["linux/amd64", "linux/arm64"])
    assert parse_choice(["all", "linux/amd64"]).texts() == ["all"]
    assert parse_choice(["none"]).texts() == ["none"]


@given(st.lists(words, min_size=1), st.lists(words, min_size=1))
def test_choices_are_written_as_they_are_read_and_add_up(one, other):
    first, second = parse_choice(one), parse_choice(other)
    assert parse_choice(first.texts()) == first
    both = first.with_more(second)
    assert both.with_more(first) == both
    for word in (*one, *other):
        assert both.includes(parse_platform(word))
    assert first.with_more(PlatformChoice()) == first


@given(st.text(), st.text(), st.text())
def test_normalising_is_idempotent(os, architecture, variant):
    platform = make_platform(os, architecture, variant)
    assert make_platform(platform.os, platform.architecture, platform.variant) == platform


@given(st.lists(st.text(), max_size=3))
def test_reading_raises_nothing_but_value_error(texts):
    try:
        choice = parse_choice(texts)
    except ValueError:
        return
    assert parse_choice(choice.texts()) == choice
