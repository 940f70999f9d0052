"""One call's one end, and what the ledger gets of it."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.ai.usage.result import Usage
from proxy.core.usage import TokenCharge, UsageRecord
from proxy.gateway.callrecord import CallAccount
from proxy.metering.holds import Hold, new_hold
from tests.gateway.calls import HOLD_ID, NOON, offer_for
from tests.metering.test_budgets import DOLLAR, budget, route, tokens


class Said:
    """Hears what is said to ``Money``, and answers nothing."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, tuple[int, ...], UsageRecord | None]] = []

    def settle(self, _hold: Hold, amounts: Any, record: bytes) -> None:
        self.ends.append(("settle", tuple(amounts), UsageRecord.decode(record)))

    def release(self, _hold: Hold, record: bytes = b"") -> None:
        self.ends.append(("release", (), UsageRecord.decode(record) if record else None))


def account(nanousd: int = DOLLAR) -> tuple[CallAccount, Said]:
    said = Said()
    offer = offer_for(route(budget(), limits=(tokens(),)), nanousd)
    hold = new_hold(HOLD_ID, offer.plan.plan, offer.plan.amounts(nanousd, 30), offer.encoded_orphan())
    return CallAccount(said, offer, hold.taken(NOON + 5, (0, 0))), said  # type: ignore[arg-type]


USED = Usage({"input_tokens": 1000, "output_tokens": 1000}, complete=True, provider_request_id="p1")


def test_what_was_used_is_settled_and_recorded() -> None:
    one, said = account()
    ended = one.settle(USED, status=200, now_ms=NOON + 250)
    cost = (150 + 600) * 1000  # $0.15 and $0.60 a million
    ((word, amounts, record),) = said.ends
    assert (word, amounts) == ("settle", (cost, 2000))
    assert record is not None
    assert (record.id, record.cost_nanousd, record.provider_request_id) == (HOLD_ID.hex(), cost, "p1")
    assert (record.status, record.latency_ms, record.settled_ms) == (200, 250, NOON + 250)
    assert not record.estimated
    assert [charge.budget for charge in record.charges] == ["tenant"]
    assert record.token_limits == (TokenCharge("tokens", "tenant:acme", 60_000, 2000),)
    assert ended.word == "exact"


@pytest.mark.parametrize(
    ("tier", "cost", "word"),
    [
        ("default", 750_000, "exact"),
        ("flex", 750_000, "estimated"),  # at most so: nobody knows the cheaper price
        ("ultrafast", DOLLAR, "estimated"),  # a dearer one, of no known price
    ],
)
def test_an_answer_of_a_tier_without_a_price_is_marked(tier: str, cost: int, word: str) -> None:
    one, said = account()
    usage = replace(USED, context=(("service_tier", tier),))
    ended = one.settle(usage, status=200, now_ms=NOON)
    assert (ended.nanousd, ended.word) == (cost, word)
    assert said.ends[0][1] == (cost, 2000)


@pytest.mark.parametrize("usage", [None, Usage({"input_tokens": 5}, complete=False)])
def test_an_answer_that_did_not_say_all_is_settled_at_its_hold_and_marked(usage: Usage | None) -> None:
    one, said = account()
    assert one.settle(usage, status=200, now_ms=NOON).word == "estimated"
    _, amounts, record = said.ends[0]
    assert amounts == (DOLLAR, 30)
    assert record is not None
    assert record.estimated
    assert record.cost_nanousd == DOLLAR


@pytest.mark.parametrize("held", [DOLLAR, 10])
def test_sound_that_nobody_has_priced_costs_the_hold_at_least(held: int) -> None:
    one, said = account(held)
    heard = Usage(dict(USED.counts) | {"input_audio_tokens": 1000}, complete=True)
    assert one.settle(heard, status=200, now_ms=NOON).word == "estimated"
    _, amounts, record = said.ends[0]
    cost = (150 + 600) * 1000  # were it text
    assert amounts == (max(held, cost), 2000)
    assert record is not None
    assert (record.cost_nanousd, record.estimated, record.tokens.audio_input) == (max(held, cost), True, 1000)


def test_what_nothing_bounds_costs_its_hold_at_least_and_is_marked() -> None:
    """No answer tells all of its fees."""
    one, said = account()
    one.offer = replace(one.offer, bound=replace(one.offer.bound, fixed=True))
    assert one.settle(USED, status=200, now_ms=NOON).word == "estimated"
    _, amounts, record = said.ends[0]
    assert amounts[0] == DOLLAR
    assert record is not None
    assert (record.cost_nanousd, record.estimated) == (DOLLAR, True)


def test_more_than_was_held_counts_and_is_marked() -> None:
    one, said = account(nanousd=10)
    assert one.settle(USED, status=200, now_ms=NOON).word == "overrun"
    record = said.ends[0][2]
    assert record is not None
    assert record.overrun
    assert record.cost_nanousd > record.held_nanousd


def test_it_ends_once() -> None:
    one, said = account()
    first = one.settle(USED, status=200, now_ms=NOON)
    assert one.release(status=0, now_ms=NOON, sent=True) is first
    assert one.settle(None, status=200, now_ms=NOON) is first
    assert len(said.ends) == 1


@pytest.mark.parametrize("sent", [True, False])
def test_a_row_is_of_an_attempt_that_reached_the_provider(sent: bool) -> None:
    one, said = account()
    assert one.release(status=503, now_ms=NOON, sent=sent).word == "released"
    record = said.ends[0][2]
    assert (record is not None) is sent
    if record is not None:
        assert (record.cost_nanousd, record.status) == (0, 503)
        assert [one.tokens for one in record.token_limits] == [0]


def test_who_never_hears_of_it_again_believes_that_it_cost_its_hold() -> None:
    """The record that the hold itself carries, for a gateway that dies."""
    one, _ = account()
    record = UsageRecord.decode(one.hold.record)
    assert (record.cost_nanousd, record.orphaned, record.estimated) == (DOLLAR, True, True)
    assert record.id == HOLD_ID.hex()
