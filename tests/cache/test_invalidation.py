"""What becomes invalid by a request that may have changed something (RFC 9111 §4.4)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.invalidation import invalidated, names_itself
from tests.cache.standard import fields

ORIGIN = "http://app.example"


def after(
    method: Any = "POST", status: Any = 200, *lines: Any, origin: Any = ORIGIN, target: Any = "/a/b?c=d"
) -> tuple[str, ...]:
    return invalidated(method, status, origin, target, fields(*lines))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "UNHEARD-OF", "get"])
@pytest.mark.parametrize(("status", "does"), [(200, True), (204, True), (303, True), (404, False), (500, False)])
def test_unsafe_methods_that_succeed(method: Any, status: Any, does: Any) -> None:
    """Also one whose safety nobody knows; a failure invalidates nothing."""
    assert after(method, status) == (("/a/b?c=d",) if does else ())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_safe_methods(method: Any) -> None:
    """They change nothing (RFC 9110 §9.2.1)."""
    assert after(method, 200, "Location: /x") == ()


@pytest.mark.parametrize("name", ["Location", "content-location"])
@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("/x", "/x"),
        ("x", "/a/x"),
        ("../x?y=z", "/x?y=z"),
        ("?y", "/a/b?y"),
        ("http://app.example/x", "/x"),
        ("HTTP://APP.example:80/x#part", "/x"),
        ("//app.example", "/"),
        ("", None),
        ("/a/b?c=d", None),
        ("https://app.example/x", None),
        ("http://app.example:81/x", None),
        ("http://other.example/x", None),
        ("//other.example/x", None),
        ("mailto:a@b", None),
        ("http://[bad/x", None),
        ("http://app.example:x/x", None),
    ],
)
def test_locations(name: Any, reference: Any, target: Any) -> None:
    """Of the same origin, beside its own; another origin's are not for this one to throw away."""
    assert after("POST", 201, f"{name}: {reference}") == ("/a/b?c=d",) + ((target,) if target else ())


def test_both_locations() -> None:
    """Each once."""
    assert after("PUT", 200, "Location: /x", "Content-Location: /y", "Location: /x") == ("/a/b?c=d", "/x", "/y")


@pytest.mark.parametrize(
    ("lines", "does"),
    [
        (["Content-Location: /a/b?c=d"], True),
        (["Content-Location:"], True),
        (["Content-Location: http://app.example/a/b?c=d"], True),
        (["Content-Location: /a/b"], False),
        (["Content-Location: http://other.example/a/b?c=d"], False),
        (["Content-Location: /a/b?c=d", "Content-Location: /x"], False),
        ([], False),
    ],
)
def test_an_answer_that_names_itself(lines: Any, does: Any) -> None:
    """RFC 9110 §8.7."""
    assert names_itself(ORIGIN, "/a/b?c=d", fields(*lines)) is does


@given(st.binary(max_size=40), st.sampled_from([ORIGIN, "https://[::1]:8443", "http://[bad", "x"]))
def test_any_reference_is_read(value: Any, origin: Any) -> None:
    """Nothing raises, and its own target is always among them."""
    assert invalidated("POST", 200, origin, "/a", [(b"Location", value)])[0] == "/a"
