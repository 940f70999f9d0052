"""One instant of the store's money, beside what the parts of it should sum up to."""

import asyncio

from proxy.core.storeurl import parse_store_url
from proxy.metering.inspection import held_by_counter, snapshot
from proxy.store.client import Store
from proxy.store.plain import PlainClient
from tests.metering.purses import RECORD, gateway, no_limits, opened, purse
from tests.store.servers import BINARIES, server


async def test_counters_say_what_was_settled_and_what_live_holds_hold() -> None:
    plan = purse(100, "all", "user")
    with server(next(iter(BINARIES.values()))) as redis:
        store, streams = Store(parse_store_url(redis.url), 1000), PlainClient(parse_store_url(redis.url), 5.0)
        await opened(store)
        async with gateway(store) as money:
            ended, live = [await money.admit(no_limits(), money.new(plan, (9, 9), RECORD)) for _ in range(2)]
            assert ended.holding is not None
            assert live.holding is not None
            await asyncio.wait_for(money.settle(ended.holding.hold, (4, 4), RECORD), 5)
            found = await snapshot(streams.client, [*plan.keys[:2], b"{m0}b:nobody"])
        assert found.settled == {plan.keys[0]: 4, plan.keys[1]: 4, b"{m0}b:nobody": 0}
        assert found.held == {plan.keys[0]: 9, plan.keys[1]: 9, b"{m0}b:nobody": 0}
        assert [hold.id for hold in found.holds] == [live.holding.hold.id]
        assert held_by_counter(found.holds) == {plan.keys[0]: 9, plan.keys[1]: 9}
        assert len(found.entries) == 1
        await streams.close()
        await store.close()
