"""The path that is authorised is the path that is forwarded (conformance 49)."""

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Ambiguous
from proxy.policy.target import matched_path, rewritten_target

REFUSE, KEEP = Ambiguous.REFUSE, Ambiguous.KEEP
quick = settings(derandomize=True, deadline=None, max_examples=1000)


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/..",
        "/.",
        "/a/./b",
        "/a/.",
        "/a/..",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/..%3b/b",
        "/a/%2e%2e%3Bx/b",
        "/a\\b",
        "/a/..\\b",
        "/a%5cb",
        "/a%5Cb",
        "/a%00",
        "/a%0d%0aSet-Cookie:x",
        "/a%1f",
        "/a%7f",
        "/a\x00b",
        "/a b",
        "/a\tb",
        "/a\x7f",
        "/é",
        "/a#b",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002e",
        "/%252e%252e/a",
        "/a%252fb",
        "/a%252Fb",
        "/a%255cb",
        "/a%2500",
        "/a%25252e",
        "/a%c0%ae%c0%ae/b",
        "/a%c0%afb",
        "/a%e0%80%afb",
        "/a%F0%80%80%af",
        "//a",
        "/a//b",
        "/a//",
        "/;/a",
        "/a/;x//b",
        "/a%2fb",
        "/a%2Fb",
        "",
        "a",
        "*",
        "http://a/",
    ],
)
def test_what_upstreams_read_in_different_ways_is_refused(path):
    """Each has let someone past a proxy's rules."""
    with pytest.raises(GatewayError) as error:
        matched_path(path, REFUSE, REFUSE)
    assert error.value.reason is Reason.BAD_TARGET
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("raw", "matched"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a.b/c..d/...", "/a.b/c..d/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/.b.", "/..a/.b."),
        ("/@scope/pkg:1!$&'()*+,=~_-", "/@scope/pkg:1!$&'()*+,=~_-"),
        ('/a[1]{2}|^`"<>', '/a[1]{2}|^`"<>'),
        ("/%61%2D%7e", "/a-~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/caf%E9", "/caf%E9"),
        ("/a%20b", "/a%20b"),
        ("/100%25", "/100%25"),
        ("/100%2525", "/100%2525"),
        ("/a%3Bb", "/a%3Bb"),
        ("/admin;x=1/users;y", "/admin/users"),
        ("/a;", "/a"),
        ("/;x", "/"),
    ],
)
def test_what_is_clear_is_put_in_one_form(raw, matched):
    """Unreserved characters decoded, capitals in escapes, parameters left out; all else as it came."""
    assert matched_path(raw, REFUSE, REFUSE) == matched


def test_a_kept_double_slash_matches_as_one():
    """//admin is nobody's way around the rules for /admin."""
    assert matched_path("//admin///users//", KEEP, REFUSE) == "/admin/users/"
    assert matched_path("/;x/admin", KEEP, REFUSE) == "/admin"


def test_a_kept_encoded_slash_is_data_in_its_segment():
    """It separates nothing, and hides no dot segment."""
    assert matched_path("/pkg/@a%2fb/1", REFUSE, KEEP) == "/pkg/@a%2Fb/1"
    for path in ("/a/..%2f..%2fb", "/a/%2e%2e%2Fb", "/a%2f..", "/a;x%2f..%2fb", "/a%252fb"):
        with pytest.raises(GatewayError):
            matched_path(path, REFUSE, KEEP)


ALPHABET = st.lists(
    st.sampled_from([*"/ab.;%", "%2e", "%2F", "%5c", "%25", "2e", "%3b", "..", "//", "%61", "%c0%ae", "\\"]),
    max_size=12,
).map(lambda parts: "/" + "".join(parts))


def readings(raw: str) -> list[str]:
    """How upstreams may read a path: decoded once or twice, parameters stripped before or after or not at all."""
    strip = lambda path: "/".join(segment.split(";")[0] for segment in path.split("/"))  # noqa: E731
    once = unquote(raw, errors="replace")
    return [raw, once, unquote(once, errors="replace"), strip(raw), strip(once), unquote(strip(raw), errors="replace")]


@quick
@given(ALPHABET)
@example("/a/..%3b/b")
@example("/a/%252e%252e/b")
def test_no_reading_of_an_accepted_path_leaves_its_place(raw):
    """However an upstream reads it, no segment is a dot segment and nothing is a backslash."""
    try:
        matched = matched_path(raw, REFUSE, REFUSE)
    except GatewayError:
        return
    for reading in readings(raw):
        assert "\\" not in reading
        assert not {".", ".."} & set(reading.split("/")), reading
    assert posixpath.normpath(matched).rstrip("/") == matched.rstrip("/")


@quick
@given(ALPHABET)
def test_the_matched_form_is_stable(raw):
    """Matching what matched changes nothing."""
    try:
        matched = matched_path(raw, KEEP, KEEP)
    except GatewayError:
        return
    assert matched_path(matched, REFUSE, KEEP) == matched


@quick
@given(ALPHABET, st.sampled_from(["ab", "x"]))
def test_parameters_evade_no_rule(raw, parameter):
    """One more parameter at the end of a segment changes nothing in what is matched."""
    try:
        matched = matched_path(raw, REFUSE, REFUSE)
    except GatewayError:
        return
    assert matched_path(raw + ";" + parameter, REFUSE, REFUSE) == matched


@pytest.mark.parametrize(
    ("target", "strip", "prefix", "forwarded"),
    [
        ("/a/b?c=%2f//", "", "", "/a/b?c=%2f//"),
        ("/api/b%41;x?q", "/api", "", "/b%41;x?q"),
        ("/api", "/api", "", "/"),
        ("/api?q=/", "/api", "", "/?q=/"),
        ("/api/", "/api", "/v1", "/v1/"),
        ("/api/x", "/api", "/v1", "/v1/x"),
        ("/x", "", "/v1", "/v1/x"),
    ],
)
def test_rewriting_changes_the_beginning_alone(target, strip, prefix, forwarded):
    """Every other byte goes as it came."""
    assert rewritten_target(target, strip, prefix) == forwarded


@pytest.mark.parametrize("target", ["/%61pi/x", "/api;v=1/x", "/apix", "/"])
def test_what_is_taken_off_must_stand_there_as_written(target):
    """It matched once it was decoded; forwarding it whole would reach another resource."""
    with pytest.raises(GatewayError) as error:
        rewritten_target(target, "/api", "")
    assert error.value.reason is Reason.BAD_TARGET
