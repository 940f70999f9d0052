"""Routes as written become routes with nothing left open."""

import pytest

from proxy.policy.compiler import compile_text
from proxy.policy.model import BatchKind, Cors, Match, RedisDown, RetryMode, RouteMode, Timeouts

LIMITS = "limits: {a: {scope: ip, rate: 9/1m}, b: {scope: ip, rate: 9/1m}, c: {scope: ip, rate: 9/1m}}\n"


@pytest.fixture
def routes(policy):
    def compiled(text: str, *lines: str):
        written = "".join(f"  - {{name: r{n}, upstream: app, {line}}}\n" for n, line in enumerate(lines))
        if "defaults:" not in text:
            text += "defaults: {auth: none}\n"
        return policy(text + "routes:\n" + written).routes

    return compiled


def test_defaults_hold_where_a_route_does_not_say(routes):
    """And nowhere else."""
    default, own = routes(
        "defaults: {auth: none, max_body: 1KiB, redis_down: closed, mode: shadow, retry: never}\n",
        "match: {path: /a}",
        "match: {}, max_body: 0B, redis_down: open, mode: enforce, retry: idempotent",
    )
    assert (default.max_body, default.redis_down) == (1024, RedisDown.CLOSED)
    assert (default.mode, default.retry) == (RouteMode.SHADOW, RetryMode.NEVER)
    assert (own.max_body, own.redis_down) == (0, RedisDown.OPEN)
    assert (own.mode, own.retry) == (RouteMode.ENFORCE, RetryMode.IDEMPOTENT)


def test_limits_replace_or_append(routes):
    """An empty list is none; limits+ comes after the default ones, each once."""
    default, none, instead, besides = routes(
        LIMITS + "defaults: {auth: none, limits: [a, b]}\n",
        "match: {path: /a}",
        "match: {path: /b}, limits: []",
        "match: {path: /c}, limits: [c]",
        "match: {path: /d}, limits+: [c, a]",
    )
    names = [[limit.name for limit in route.limits] for route in (default, none, instead, besides)]
    assert names == [["a", "b"], [], ["c"], ["a", "b", "c"]]


def test_a_match_is_in_the_form_that_is_compared(routes):
    """Fields' names in lower case, hosts too, paths normalised, doubles left out."""
    (route,) = routes(
        "",
        "match: {path: '/%7Ea/{id}', methods: [GET, GET], hosts: [A.com], headers: {X-A: V}, query: {Q: '*'}}",
    )
    assert route.match == Match("/~a/{id}", ("GET",), ("a.com",), (("x-a", "V"),), (("Q", "*"),))


def test_weights(routes):
    """A number, or what one item of a batch takes."""
    plain, number, batch, light = routes(
        "",
        "match: {path: /a}",
        "match: {path: /b}, weight: 2.5",
        "match: {path: /c}, weight: {batch: trpc}",
        "match: {path: /d}, weight: {batch: graphql, per_item: 0.1}",
    )
    assert (plain.weight, plain.batch) == (1_000, None)
    assert (number.weight, number.batch) == (2_500, None)
    assert (batch.weight, batch.batch) == (1_000, BatchKind.TRPC)
    assert (light.weight, light.batch) == (100, BatchKind.GRAPHQL)


def test_timeouts_come_from_the_nearest_that_says():
    """Built-in, defaults, upstream, route: each number by itself. A route that says nothing uses its upstream's."""
    compiled = compile_text(
        "version: 1\n"
        "upstreams: {plain: {primary: ['http://a']}, own: {primary: ['http://b'], timeouts: {idle: 8s}}}\n"
        "defaults: {auth: none, timeouts: {connect: 1s, idle: 9s}}\n"
        "routes:\n"
        "  - {name: a, match: {path: /a}, upstream: plain}\n"
        "  - {name: b, match: {path: /b}, upstream: plain, timeouts: {first_byte: 5m}}\n"
        "  - {name: c, match: {path: /c}, upstream: own, timeouts: {first_byte: 5m}}\n",
        "config.yaml",
        {},
    ).policy
    assert compiled.upstreams["plain"].timeouts == Timeouts(1_000, 30_000, 9_000)
    assert compiled.upstreams["own"].timeouts == Timeouts(1_000, 30_000, 8_000)
    own = [route.timeouts for route in compiled.routes]
    assert own == [None, Timeouts(1_000, 300_000, 9_000), Timeouts(1_000, 300_000, 8_000)]


def test_cors_is_the_top_level_one_unless_a_route_says(routes):
    """Its own, or none."""
    default, own, off = routes(
        "cors: {origins: ['https://App.Example.com', 'https://*.example.com'], credentials: true, max_age: 90s}\n",
        "match: {path: /a}",
        "match: {path: /b}, cors: {origins: ['*'], methods: [GET], headers: [X-A], expose: []}",
        "match: {path: /c}, cors: off",
    )
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    expose = ("RateLimit", "RateLimit-Policy", "Retry-After")
    origins = ("https://app.example.com", "https://*.example.com")
    assert default.cors == Cors(origins, True, methods, (), expose, 90)
    assert own.cors == Cors(("*",), False, ("GET",), ("X-A",), (), 600)
    assert off.cors is None


def test_rewrites(routes):
    """What is taken off must begin every path of the route."""
    strip, both, none = routes(
        "",
        "match: {path: /a/b/**}, rewrite: {strip: /a}",
        "match: {path: /c/**}, rewrite: {strip: /c, prefix: /v1}",
        "match: {}",
    )
    assert [(route.strip_prefix, route.add_prefix) for route in (strip, both, none)] == [
        ("/a", ""),
        ("/c", "/v1"),
        ("", ""),
    ]


def test_routes_are_numbered_in_their_order(routes):
    """The number is the route's place in metrics."""
    assert [route.index for route in routes("", "match: {path: /a}", "match: {}")] == [0, 1]
