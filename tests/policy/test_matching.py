"""The first route that matches wins; what each predicate asks."""

import pytest

from proxy.policy.matching import Router, bare_host


@pytest.fixture
def router(policy):
    def made(*matches: str) -> Router:
        lines = "".join(
            f"  - {{name: r{n}, match: {match}, upstream: app, auth: none}}\n" for n, match in enumerate(matches)
        )
        return Router(policy("routes:\n" + lines).routes)

    return made


def name(router: Router, path: str, method: str = "GET", host: str = "a.com", query: str = "", headers=None):
    found = router.match(method, host, path, query, headers or {})
    return found and found.name


def test_the_first_match_wins(router):
    """Order is all: no route is more special than another."""
    routes = router("{path: '/a/{id}'}", "{path: /a/b}", "{path: '/**'}")
    assert name(routes, "/a/b") == "r0"
    assert name(routes, "/a") == "r2"


def test_no_match_is_none(router):
    """The gateway answers 404."""
    assert name(router("{path: /a}"), "/b") is None


def test_a_router_of_no_routes_matches_nothing():
    """And does not fail."""
    assert Router(()).match("GET", "a.com", "/", "", {}) is None


def test_methods(router):
    """GET brings HEAD, both ways of asking; an unknown method takes what any method may."""
    routes = router("{path: /a, methods: [GET]}", "{path: /a, methods: [POST, M-SEARCH]}", "{path: /b}")
    assert name(routes, "/a", "GET") == name(routes, "/a", "HEAD") == "r0"
    assert name(routes, "/a", "POST") == name(routes, "/a", "M-SEARCH") == "r1"
    assert name(routes, "/a", "PUT") is None
    assert name(routes, "/b", "PUT") == name(routes, "/b", "POST") == "r2"
    assert name(routes, "/b", "get") == "r2"


def test_methods_that_would_find_a_route_are_told(router):
    """For 405 and its Allow field; none where the path is nobody's."""
    routes = router("{path: /a, methods: [GET, POST]}", "{path: /a, methods: [PUT], hosts: [b.com]}", "{path: /b}")
    assert routes.methods_for("a.com", "/a", "", {}) == ("GET", "HEAD", "POST")
    assert routes.methods_for("b.com", "/a", "", {}) == ("GET", "HEAD", "POST", "PUT")
    assert routes.methods_for("a.com", "/c", "", {}) == ()


def test_hosts(router):
    """Exact or below; case, port and a final dot don't count."""
    routes = router("{hosts: [App.Example.com, '[::1]']}", "{hosts: ['*.example.com']}")
    assert name(routes, "/", host="app.EXAMPLE.com.:8080") == "r0"
    assert name(routes, "/", host="[::1]:80") == "r0"
    assert name(routes, "/", host="x.y.example.com") == "r1"
    assert name(routes, "/", host="example.com") is None
    assert name(routes, "/", host="badexample.com") is None
    assert name(routes, "/", host="") is None


def test_header_fields(router):
    """All that are named must be there; the names' case does not count."""
    routes = router(
        "{headers: {Next-Router-Prefetch: '*'}}", "{headers: {Accept: 'text/*', X-A: '1'}}", "{path: '/**'}"
    )
    assert name(routes, "/", headers={"next-router-prefetch": ""}) == "r0"
    assert name(routes, "/", headers={"accept": "text/html", "x-a": "1"}) == "r1"
    assert name(routes, "/", headers={"accept": "text/html", "x-a": "12"}) == "r2"
    assert name(routes, "/", headers={"accept": "text/html"}) == "r2"


def test_query_parameters(router):
    """Decoded, any of several values, empty ones too."""
    routes = router("{query: {q: 'a b*', r: '*'}}", "{path: '/**'}")
    assert name(routes, "/", query="q=a+bc&r") == "r0"
    assert name(routes, "/", query="q=x&q=%61%20b&r=1") == "r0"
    assert name(routes, "/", query="q=a+b") == "r1"
    assert name(routes, "/", query="") == "r1"


def test_a_refused_candidate_gives_way_to_the_next_that_matches(router):
    """However many routes are met by path alone, between others that are not."""
    routes = router(
        "{path: /x}",
        "{path: '/a/**', hosts: [no.com]}",
        "{path: /y}",
        "{path: '/a/*', headers: {x: '*'}}",
        "{path: /a/b}",
    )
    assert name(routes, "/a/b") == "r4"
    assert name(routes, "/a/b", headers={"x": "1"}) == "r3"
    assert name(routes, "/a/b", host="no.com") == "r1"
    assert name(routes, "/a/c") is None


def test_many_routes_find_theirs(router):
    """More than a hundred groups in one expression."""
    routes = router(*[f"{{path: '/r{n}/{{id}}'}}" for n in range(300)])
    assert all(name(routes, f"/r{n}/x") == f"r{n}" for n in range(300))


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("A.com", "a.com"),
        ("a.com:80", "a.com"),
        ("a.com.", "a.com"),
        ("[::1]", "[::1]"),
        ("[::A]:80", "[::a]"),
        (":80", ":80"),
        ("", ""),
    ],
)
def test_a_host_is_compared_bare(host, bare):
    """Without port and final dot, in lower case."""
    assert bare_host(host) == bare
