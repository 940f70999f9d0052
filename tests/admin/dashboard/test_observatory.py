"""When the gateway is looked at, and what is told of it."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from proxy.admin.dashboard import observatory as module
from proxy.admin.dashboard.observatory import Observatory
from proxy.admin.errands import About
from proxy.gateway.control import Failure
from proxy.policy.model import Policy
from proxy.telemetry.metrics import REQUESTS
from tests.admin.dashboard.stands import NOW_MS, Clerk, Clock, Parent, plain_policy, spending_policy
from tests.e2e.gateway import reached

POLICY, SPENDING = plain_policy(), spending_policy()
HOSTILE = "<img src=x onerror=alert(1)>"


def observing(policy: Policy = POLICY, clerk: Clerk | None = None) -> tuple[Observatory, Parent, Clock]:
    parent, clock = Parent(policy), Clock()
    return Observatory(parent, clerk or Clerk(), clock, changes=True), parent, clock


def section(observatory: Observatory, name: str) -> Any:
    return orjson.loads(observatory.sections[name])


def test_while_nobody_watches_only_points_are_made() -> None:
    observatory, parent, clock = observing()
    for _ in range(3):
        observatory.look()
        clock.ms += 10_000
        parent.metrics.inc(REQUESTS, "app", "none", "200", "forwarded", by=50)
    assert [one.served for one in observatory.history.points()] == [5.0, 5.0]
    assert not observatory.sections


def test_who_watches_is_told_of_everything_in_json() -> None:
    """Half a character of a path or a tenant, too: what workers tell is sound already."""
    observatory, parent, clock = observing()
    parent.problems = (f"config.yaml:3: {HOSTILE}",)
    parent.failures.add([Failure(NOW_MS, "r1", "GET", "/\\ud800", "app", 502, "upstream_reset", HOSTILE, "a:1", 1.5)])
    observatory.look()
    clock.ms += 2_000
    parent.metrics.inc(REQUESTS, "app", "none", "200", "forwarded", by=8)
    with observatory.watched():
        observatory.look()
    assert set(observatory.sections) == {"state", "refusals", "limits", "routes", "upstreams", "listed", "failures"}
    state = section(observatory, "state")
    assert (state["phase"], state["window_s"], state["reload_problems"]) == ("serving", 2, list(parent.problems))
    assert section(observatory, "routes")["rows"][0]["count"] == 8
    assert section(observatory, "failures")[0]["tenant"] == HOSTILE


async def test_money_is_asked_for_only_where_there_is_a_ledger() -> None:
    clerk = Clerk(body={"budgets": []})
    observatory, _, _ = observing(POLICY, clerk)
    await observatory.ask()
    assert (clerk.errands, section(observatory, "money")) == ([], None)
    observatory, _, _ = observing(SPENDING, clerk)
    await observatory.ask()
    assert [one.about for one in clerk.errands] == [About.OVERVIEW]
    assert section(observatory, "money") == {"budgets": []}
    clerk.status, clerk.body = 503, {"error": "too many questions"}
    await observatory.ask()
    assert section(observatory, "money") == {"error": "too many questions"}


async def test_whoever_comes_wakes_it_and_it_rests_when_all_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watched it looks and asks again and again; unwatched it asks nobody."""
    monkeypatch.setattr(module, "TICK_S", 0.01)
    monkeypatch.setattr(module, "MONEY_S", 0.01)
    clerk = Clerk(body={})
    observatory, _, clock = observing(SPENDING, clerk)
    async with observatory.working():
        await reached(lambda: observatory.history.window().span_ms == 0)
        assert not clerk.errands
        with observatory.watched():
            await reached(lambda: len(clerk.errands) > 2)
            clock.ms += 5_000
            await reached(lambda: observatory.history.number == 1)
            assert observatory.watching == 1
        asked = len(clerk.errands)
        await asyncio.sleep(0.1)  # what must not happen has no sign to wait for
        assert len(clerk.errands) <= asked + 1
    assert observatory.closed


async def test_at_the_end_everybody_hears_of_it() -> None:
    observatory, _, _ = observing()
    async with observatory.working():
        hearing = asyncio.create_task(observatory.news())
        await asyncio.sleep(0)
        assert not hearing.done()
    async with asyncio.timeout(5):
        await hearing
        await observatory.news()  # and whoever comes too late does not wait


def test_a_look_at_many_series_is_quick() -> None:
    """Ten thousand of them: it is done every ten seconds while nobody watches. The bound is a busy machine's."""
    observatory, parent, clock = observing()
    for number in range(10_000):
        parent.metrics.inc(REQUESTS, f"route-{number // 20}", "none", str(200 + number % 20), "forwarded")
    observatory.look()
    clock.ms += 2_000
    began = time.perf_counter()
    observatory.look()
    assert time.perf_counter() - began < 0.5
