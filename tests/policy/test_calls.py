"""Routes to a provider: what of them is held, and how."""

from collections.abc import Callable

import pytest

from proxy.core.units import NANOS
from proxy.policy.compiler import compile_text
from proxy.policy.model import RedisDown, Route, RouteMode
from proxy.policy.spending import Dialect, OnDisconnect

HEAD = (
    "budgets: {day: {scope: global, daily: $5, monthly: $100}, user: {scope: user, weekly: $2}}\n"
    "limits:\n"
    "  requests: {scope: ip, rate: 9/1m}\n"
    "  tokens: {scope: [tenant, model], unit: tokens, rate: 200_000/1m}\n"
    "  spare: {scope: feature, unit: tokens, rate: 60/1m, shadow: true}\n"
)

Routes = Callable[..., tuple[Route, ...]]


@pytest.fixture
def routes() -> Routes:
    def compiled(defaults: str, *lines: str) -> tuple[Route, ...]:
        written = "".join(f"  - {{name: r{n}, match: {{path: /r{n}}}, {line}}}\n" for n, line in enumerate(lines))
        text = (
            "version: 1\nupstreams: {app: {primary: ['http://a']}, ai: {primary: ['https://b'], dialect: openai}}\n"
            f"defaults: {{auth: none, {defaults}}}\n{HEAD}routes:\n{written}"
        )
        return compile_text(text, "config.yaml", {}).policy.routes

    return compiled


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_route_to_a_provider_is_accounted_for(dialect: Dialect) -> None:
    """Without another word about money: nothing is limited, everything is in the ledger."""
    compiled = compile_text(
        f"version: 1\nupstreams: {{ai: {{primary: ['https://a'], dialect: {dialect}}}}}\n"
        "defaults: {auth: none}\nroutes: [{name: ai, match: {}, upstream: ai}]\n",
        "config.yaml",
        {},
    ).policy
    assert compiled.routes[0].spending is not None
    assert compiled.routes[0].spending.dialect == dialect.value
    assert compiled.ledger is not None


def test_what_is_not_said(routes: Routes) -> None:
    """Requests without a cap have no bound, what has no bound is refused, holds are bounds, and who leaves pays."""
    app, ai = routes("", "upstream: app", "upstream: ai")
    assert app.spending is None
    spending = ai.spending
    assert spending is not None
    assert (spending.dialect, spending.budgets, spending.tokens) == ("openai", (), ())
    assert (spending.max_output_tokens, spending.most_output_tokens) == (None, None)
    assert (spending.unbounded_nanousd, spending.learnt, spending.vouched) == (None, None, frozenset())
    assert spending.on_disconnect is OnDisconnect.DRAIN
    assert ai.redis_down is RedisDown.OPEN


def test_what_is_said(routes: Routes) -> None:
    long, short = routes(
        "",
        "upstream: ai, max_output_tokens: {default: 4096, most: 16_384}, on_disconnect: cancel, unbounded_hold: $2, "
        "estimate: {quantile: 0.99}, vouch_for: [new_member, other], stored_objects: allow",
        "upstream: ai, max_output_tokens: 4096, estimate: learnt",
    )
    assert long.spending is not None
    assert short.spending is not None
    assert (long.spending.max_output_tokens, long.spending.most_output_tokens) == (4096, 16_384)
    assert long.spending.on_disconnect is OnDisconnect.CANCEL
    assert long.spending.unbounded_nanousd == 2 * NANOS
    assert long.spending.vouched == {"new_member", "other"}
    assert (long.spending.stored_objects, short.spending.stored_objects) == (True, False)
    assert (long.spending.learnt, short.spending.learnt) == (0.99, 0.995)
    assert (short.spending.max_output_tokens, short.spending.most_output_tokens) == (4096, None)


def test_a_route_spends_from_every_period_of_its_budgets(routes: Routes) -> None:
    """In its own order of names."""
    (route,) = routes("", "upstream: ai, max_output_tokens: 5, budgets: [user, day]")
    assert route.spending is not None
    assert [(one.name, one.index) for one in route.spending.budgets] == [("user", 2), ("day", 0), ("day", 1)]


def test_budgets_replace_or_append(routes: Routes) -> None:
    """As limits do; a route that leads to no provider leaves the default ones alone."""
    default, none, instead, besides, app = routes(
        "budgets: [day]",
        "upstream: ai, max_output_tokens: 5",
        "upstream: ai, budgets: []",
        "upstream: ai, max_output_tokens: 5, budgets: [user]",
        "upstream: ai, max_output_tokens: 5, budgets+: [user, day]",
        "upstream: app",
    )
    names = [
        route.spending and list(dict.fromkeys(one.name for one in route.spending.budgets))
        for route in (default, none, instead, besides, app)
    ]
    assert names == [["day"], [], ["user"], ["day", "user"], None]


def test_limits_of_tokens_are_held_from_the_others_are_taken_from(routes: Routes) -> None:
    """One list in the file; a token counts one, whatever a request weighs."""
    (route,) = routes("", "upstream: ai, max_output_tokens: 5, limits: [tokens, requests, spare], weight: 0.5")
    assert [limit.name for limit in route.limits] == ["requests"]
    assert route.spending is not None
    tokens, spare = route.spending.tokens
    assert (tokens.name, tokens.tokens, tokens.min_amount) == ("tokens", True, 1_000)
    assert tokens.rates["standard"].capacity == 200_000_000
    assert (spare.name, spare.shadow) == ("spare", True)
    assert not route.limits[0].tokens


def test_what_is_limited_by_money_or_tokens_is_closed_without_redis(routes: Routes) -> None:
    """Whatever the defaults say."""
    plain, budgets, tokens = routes(
        "redis_down: open",
        "upstream: ai",
        "upstream: ai, max_output_tokens: 5, budgets: [day]",
        "upstream: ai, max_output_tokens: 5, limits: [tokens]",
    )
    closed = [route.redis_down is RedisDown.CLOSED for route in (plain, budgets, tokens)]
    assert closed == [False, True, True]


def test_a_shadow_route_keeps_its_budgets(routes: Routes) -> None:
    """They are held and counted; the gateway reads the route's mode."""
    (route,) = routes("", "upstream: ai, max_output_tokens: 5, budgets: [day], mode: shadow")
    assert route.mode is RouteMode.SHADOW
    assert route.spending is not None
    assert len(route.spending.budgets) == 2
