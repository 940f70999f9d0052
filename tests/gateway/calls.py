"""Calls to providers for this room's tests, without a gateway around them."""

import json
from datetime import UTC, datetime

from proxy.ai.bounds import Hold as Bound
from proxy.ai.dialects.call import AiCall
from proxy.gateway.callrecord import Offer, offered_record
from proxy.gateway.pricing import Pricing, read_call
from proxy.metering.budgets import make_call_plan
from proxy.policy.model import Route
from proxy.policy.spending import Prices
from tests.metering import samples

NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
HOLD_ID = bytes(range(16))
PRICING = Pricing(Prices())
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}


def offer_for(route: Route, nanousd: int, *, stream: bool = False) -> Offer:
    """A call that would hold so much."""
    assert route.spending is not None
    body = json.dumps(CHAT | {"stream": stream}).encode()
    call = read_call(route.spending, "POST", "/v1/chat/completions", "", {}, body)
    assert isinstance(call, AiCall)
    who = samples.user()
    record = offered_record(
        HOLD_ID,
        now_ms=NOON,
        request_id="r1",
        route=route.name,
        endpoint="/v1/chat/completions",
        identity=who,
        call=call,
        held_nanousd=nanousd,
        price_version="p1",
        notify=(),
    )
    plan = make_call_plan(route, who, "192.0.2.1", "gpt-4o-mini", NOON, {})
    return Offer(call, PRICING.quote(call, NOON), Bound(nanousd, 10, 20), plan, nanousd, 30, record)
