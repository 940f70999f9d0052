"""Each meter as a request met it and left it."""

import json
from typing import Any

import pytest

from proxy.core.units import NANOS
from proxy.foresight.replaying import Judged, Replay
from proxy.foresight.standing import Meter, Unit, as_asked, meters, settled
from proxy.policy.model import MILLI
from tests.foresight.lines import entry, line
from tests.foresight.policies import changed, compiled


class Told:
    """A replay, and the meters of its last request by rate: no two have one."""

    def __init__(self, replay: Replay | None = None) -> None:
        self.replay = replay or Replay(compiled())

    def then(self, at_s: float, **fields: Any) -> dict[str, Meter]:
        one = json.loads(line(at_s, **fields))
        asked = as_asked(entry(at_s, **fields), one)
        return {m.rate: m for m in meters(self.replay.judged(asked), self.replay.judge.tally, one, asked.start_ms)}


AI = {"path": "/ai/v1/chat/completions", "method": "POST", "route": "ai"}


def amounts(meter: Meter) -> tuple[int, int, int]:
    return meter.before, meter.asks, meter.after


def test_a_limit_has_what_was_before_it_and_what_is_after() -> None:
    """One that refuses takes nothing, from no limit."""
    told = Told()
    found = [told.then(n) for n in range(6)]
    assert found[4]["5/1m"] == Meter(
        "per-user", Unit.REQUESTS, "user:test ada", "5/1m", "fits", False, 4 * MILLI, MILLI, None, 5 * MILLI
    )
    assert amounts(found[4]["100/1m"]) == (4 * MILLI, MILLI, 5 * MILLI)
    assert (found[5]["5/1m"].verdict, *amounts(found[5]["5/1m"])) == ("full", 5 * MILLI, MILLI, 5 * MILLI)
    assert (found[5]["100/1m"].verdict, *amounts(found[5]["100/1m"])) == ("fits", 5 * MILLI, MILLI, 5 * MILLI)


def test_a_call_holds_and_is_settled_at_its_cost() -> None:
    """Budgets of each period and limits of tokens: what it held, what it came to, and what is counted then."""
    told = Told()
    told.then(0, **AI, cost_usd=0.25, tokens_in=100, tokens_out=50)
    found = told.then(1, **AI, cost_usd=0.01, tokens_in=7, tokens_out=3, held_usd=0.5, held_tokens=200)
    assert [(meter.name, meter.unit.value) for meter in found.values()] == [
        ("per-user", "requests"), ("user", "usd"), ("user", "usd"), ("cheap", "usd"), ("ai-tokens", "tokens"),
    ]  # fmt: skip
    cheap, tokens = found["$5/day"], found["1000/1m"]
    assert (cheap.scope, cheap.verdict) == ("tenant:initech", "fits")
    assert (*amounts(cheap), cheap.settled) == (NANOS // 4, NANOS // 2, NANOS * 26 // 100, NANOS // 100)
    assert (*amounts(tokens), tokens.settled) == (150, 200, 160, 10)


def test_a_call_that_a_budget_refused_is_refused_by_what_it_would_have_held() -> None:
    """Its line has no cost: by that alone it would fit."""
    told = Told()
    told.then(0, **AI, cost_usd=0.75)
    fields = {**AI, "outcome": "refused", "status": 429, "reason": "budget_exceeded", "limits": ["user"]}
    found = told.then(1, **fields, held_usd=0.5, held_tokens=200)
    assert {name: meter.verdict for name, meter in found.items() if meter.name == "user"} == {
        "$1/day": "full", "$100/month": "fits",
    }  # fmt: skip
    assert (*amounts(found["$1/day"]), found["$1/day"].settled) == (NANOS * 3 // 4, NANOS // 2, NANOS * 3 // 4, None)
    assert amounts(found["5/1m"]) == (MILLI, MILLI, MILLI)


def test_a_budget_that_only_warns_counts_beyond_itself() -> None:
    told = Told(Replay(changed(("$5, on_exceed: {downgrade: gpt-4o-mini}", "$2, on_exceed: warn"))))
    for user in ("bob", "eve"):
        told.then(0, **AI, user=user, cost_usd=0.9)
    found = told.then(1, **AI, cost_usd=0.4, held_usd=0.5)["$2/day"]
    assert (found.verdict, found.shadow) == ("full", True)
    assert amounts(found) == (NANOS * 18 // 10, NANOS // 2, NANOS * 22 // 10)


def test_what_never_asked_its_meters_has_none() -> None:
    replay = Replay(compiled())
    assert meters(Judged(False, ("(no_route)",)), replay.judge.tally, {}, 0) == []


@pytest.mark.parametrize(
    ("fields", "came_to"),
    [
        ({"cost_usd": 0.25, "tokens_in": 2, "tokens_out": 1}, (NANOS // 4, 3)),
        ({"cost_usd": 0.25, "estimated": True, "held_tokens": 90}, (NANOS // 4, 90)),
        ({"cost_usd": 0, "saved_usd": 0.25}, None),
        ({"held_usd": 0.25}, None),
    ],
)
def test_what_a_call_came_to(fields: dict[str, Any], came_to: tuple[int, int] | None) -> None:
    """Nothing, where a stored answer spared it or its line was written before its end."""
    assert settled(json.loads(line(**fields))) == came_to


@pytest.mark.parametrize(
    ("unit", "amount", "number", "text"),
    [
        (Unit.REQUESTS, 1_234_500, 1234.5, "1,234.5"),
        (Unit.USD, 1_500_000_000, 1.5, "$1.50"),
        (Unit.TOKENS, 12_000, 12_000.0, "12,000"),
    ],
)
def test_amounts_in_the_units_of_programs_and_of_people(unit: Unit, amount: int, number: float, text: str) -> None:
    assert (unit.number(amount), unit.text(amount)) == (number, text)
