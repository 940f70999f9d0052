"""An earlier route takes all that a later one would: every predicate has its say."""

import pytest

from proxy.policy.coverage import covers, hidden, literal
from proxy.policy.model import Match

WIDE = Match("/a/**", ("GET", "POST"), ("*.a.com",), (("x", "*"),), (("q", "1"),))
NARROW = Match("/a/b", ("HEAD",), ("b.a.com",), (("x", "1"), ("y", "2")), (("q", "1"), ("r", "*")))


def test_what_is_never_reached_is_told_with_the_first_that_takes_it(policy):
    """In the order of the routes; the first above, where several would take it."""
    routes = policy(
        """
routes:
  - {name: open, match: {path: "/a/**"}, upstream: app, auth: none}
  - {name: all, match: {path: "/**"}, upstream: app, auth: none}
  - {name: own, match: {path: "/a/b"}, upstream: app, auth: none}
  - {name: else, match: {path: "/b"}, upstream: app, auth: none}
"""
    ).routes
    assert [(one.name, by.name) for one, by in hidden(routes)] == [("own", "open"), ("else", "all")]


def test_wider_in_everything_covers():
    """GET brings HEAD; what the narrow one asks besides does not matter."""
    assert covers(WIDE, NARROW)
    assert covers(Match("/**"), NARROW)


@pytest.mark.parametrize(
    "other",
    [
        Match("/b", NARROW.methods, NARROW.hosts, NARROW.headers, NARROW.query),
        Match("/a/b", ("PUT",), NARROW.hosts, NARROW.headers, NARROW.query),
        Match("/a/b", (), NARROW.hosts, NARROW.headers, NARROW.query),
        Match("/a/b", NARROW.methods, ("a.com",), NARROW.headers, NARROW.query),
        Match("/a/b", NARROW.methods, (), NARROW.headers, NARROW.query),
        Match("/a/b", NARROW.methods, NARROW.hosts, (("y", "2"),), NARROW.query),
        Match("/a/b", NARROW.methods, NARROW.hosts, NARROW.headers, (("q", "*"),)),
    ],
    ids=["path", "method", "any method", "host", "any host", "header", "query"],
)
def test_one_predicate_that_is_not_wider_is_enough_to_be_reached(other):
    """Path, method, host, field, parameter: each alone."""
    assert not covers(WIDE, other)


PATHS = [
    "/",
    "/**",
    "/a",
    "/a/",
    "/a/**",
    "/a/b",
    "/a/b/**",
    "/a/{x}",
    "/a/{x}/c",
    "/a/*",
    "/a/b*",
    "/a/bc",
    "/ab",
    "/*",
]


@pytest.mark.parametrize("outer", PATHS)
@pytest.mark.parametrize("inner", PATHS)
def test_what_covers_another_begins_as_it_does(outer: str, inner: str) -> None:
    """So the rest need not be compared."""
    assert not covers(Match(outer), Match(inner)) or literal(inner).startswith(literal(outer))
