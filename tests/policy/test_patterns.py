"""What a pattern means, and when one covers another."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.patterns import (
    PatternError,
    host_covers,
    normal_path,
    path_covers,
    path_regex,
    value_covers,
    value_regex,
)

quick = settings(derandomize=True, deadline=None, max_examples=300)

SEGMENTS = st.sampled_from(["a", "b", "ab", "a.b", "{x}", "*", "a*", "*b", "a*b"])


def pattern_of(parts: list[str], end: str) -> str:
    named = [part.replace("x", f"x{n}") for n, part in enumerate(parts)]
    return "".join(f"/{part}" for part in named) + end or "/"


PATTERNS = st.builds(pattern_of, st.lists(SEGMENTS, max_size=3), st.sampled_from(["", "/**", "/"]))
PATHS = st.lists(st.sampled_from(["", "a", "b", "ab", "a.b", "axb", "c"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def matches(pattern: str, path: str) -> bool:
    return re.fullmatch(path_regex(normal_path(pattern)), path) is not None


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/", ["/"], ["/a", ""]),
        ("/a", ["/a"], ["/a/", "/A", "/ab", "/a/b"]),
        ("/a/", ["/a/"], ["/a"]),
        ("/a/{id}", ["/a/1", "/a/%C3%A9"], ["/a/", "/a", "/a/1/2"]),
        ("/{x}/b/{y}", ["/a/b/c"], ["//b/c", "/a/b/"]),
        ("/img/*.png", ["/img/.png", "/img/a.png"], ["/img/a/b.png", "/img/apng"]),
        ("/a*c/d", ["/ac/d", "/abc/d"], ["/a/c/d"]),
        ("/a/*", ["/a/", "/a/b"], ["/a", "/a/b/c"]),
        ("/a/**", ["/a", "/a/", "/a/b/c"], ["/ab", "/", "/b/a/"]),
        ("/{x}/**", ["/a", "/a/b"], ["/"]),
        ("/**", ["/", "/a", "/a/b/"], []),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("/café", ["/caf%C3%A9"], ["/café"]),
        ("/%7eme/%c3%a9", ["/~me/%C3%A9"], ["/%7Eme/%C3%A9"]),
    ],
)
def test_paths(pattern, yes, no):
    """One segment, within one, and the rest; case and a final slash count."""
    for path in yes:
        assert matches(pattern, path), path
    for path in no:
        assert not matches(pattern, path), path


def test_a_pattern_in_normal_form_stays_so():
    """It is normalised once when it is read, and may be again."""
    for pattern in ("/a/{id}/*.x/**", "/caf%C3%A9", "/~"):
        assert normal_path(normal_path(pattern)) == pattern


@pytest.mark.parametrize("pattern", ["", "a", "/a?b", "/a#b", "/a\\b", "/./a", "/**/a", "/a**", "/{", "/{}", "/%zz"])
def test_patterns_that_mean_nothing_are_refused(pattern):
    """At load, not by never matching."""
    with pytest.raises(PatternError):
        normal_path(pattern)


@quick
@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_stars_mean_what_a_plain_search_finds(pattern, value):
    """However they are compiled."""
    plain = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    assert bool(value_regex(pattern).fullmatch(value)) == bool(plain.fullmatch(value))


def test_no_path_takes_more_than_linear_time():
    """A client chooses the path: many stars in one segment must not make it costly."""
    pattern, path = "/" + "*a" * 12 + "*b", "/" + "a" * 8_000
    started_s = time.process_time()
    assert not matches(pattern, path)
    assert not value_regex(pattern).fullmatch(path)
    assert time.process_time() - started_s < 1


@quick
@given(PATTERNS, PATTERNS, PATHS)
def test_covering_is_sound(outer, inner, path):
    """Where one covers another, no path is the other's alone."""
    if path_covers(outer, inner) and matches(inner, path):
        assert matches(outer, path)


@quick
@given(PATTERNS)
def test_a_pattern_covers_itself_and_all_is_covered_by_the_whole(pattern):
    """Up to the number of wildcards at which covering is not looked for."""
    assert path_covers(pattern, pattern)
    assert path_covers("/**", pattern)


@pytest.mark.parametrize(
    ("outer", "inner", "covered"),
    [
        ("/a/**", "/a/{id}", True),
        ("/a/**", "/a", True),
        ("/a/{x}", "/a/**", False),
        ("/a/{x}", "/a/*", False),
        ("/a/*", "/a/{x}", True),
        ("/a*", "/ab*c", True),
        ("/ab*", "/a*", False),
        ("/{x}/{y}/**", "/a/**", False),
        ("/a/**", "/{x}/**", False),
        ("/*/*/*/*/*/*/*", "/*/*/*/*/*/*/*", False),
    ],
)
def test_covering(outer, inner, covered):
    """Also what is not: an empty segment is no {x}, and more than six wildcards are not looked into."""
    assert path_covers(outer, inner) is covered


def test_hosts_cover_names_below_them():
    """A wildcard is any name below, at any depth, not itself."""
    assert host_covers("a.com", "a.com")
    assert host_covers("*.a.com", "b.a.com")
    assert host_covers("*.a.com", "*.b.a.com")
    assert not host_covers("*.a.com", "a.com")
    assert not host_covers("b.a.com", "*.a.com")


def test_values_match_whole_with_stars_for_any_run():
    """A star alone asks only that it is there."""
    assert value_regex("*").fullmatch("")
    assert value_regex("text/*; q=1").fullmatch("text/html; q=1")
    assert not value_regex("a.c").fullmatch("abc")
    assert value_covers("*", "x")
    assert value_covers("x", "x")
    assert not value_covers("x", "*")
