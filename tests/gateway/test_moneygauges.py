"""What waits for the ledger is told although nothing moves; how much of everybody's budgets is used, from its sums."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.core.usage import Charge
from proxy.gateway.moneygauges import MoneyGauges, of_everybody, used
from proxy.ledger.database import Database, connect
from proxy.ledger.grants import Grant, Grants
from proxy.ledger.migrate import migrate
from proxy.ledger.outbox import Outbox
from proxy.ledger.writer import write
from proxy.policy.spending import Budget
from proxy.store.plain import PlainClient
from proxy.telemetry.metrics import BUDGET_USED, LEDGER_LAG, OUTBOX_DEPTH, Family, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.e2e.gateway import reached
from tests.gateway.lives import policy_of
from tests.ledger.samples import a_record, an_arrival, an_entry
from tests.store.servers import BINARIES, server

CLOCK = SystemClock()
USD = 10**9
BUDGETS = """
version: 1
tiers: [gold, anonymous]
upstreams: {ai: {primary: ["http://127.0.0.1:1"], dialect: openai}}
budgets:
  all: {scope: global, daily: {gold: $10, anonymous: $4}, monthly: $100}
  mine: {scope: user, daily: $1}
routes: [{name: ai, match: {path: "/**"}, upstream: ai, auth: none, budgets: [all, mine], max_output_tokens: 10}]
"""


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """This process answers no client."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})
        function.can_block_in("redis/utils.py", {"get_lib_version"})


def budgets() -> tuple[Budget, ...]:
    return policy_of(BUDGETS).budgets


def test_only_budgets_of_everybody_are_told() -> None:
    """As many as the policy has, in the periods that now is in; those of callers are not series."""
    now_ms = 1_795_000_000_000  # 2026-11-18
    found = {(budget.name, charge) for budget, charge in of_everybody(budgets(), now_ms)}
    assert found == {
        ("all", Charge("all", "global", "2026-11-18")),
        ("all", Charge("all", "global", "2026-11")),
    }


def test_the_share_is_of_the_largest_amount_with_what_was_granted() -> None:
    daily = next(budget for budget, _ in of_everybody(budgets(), 0) if budget.amounts["gold"] == 10 * USD)
    assert used(daily, 4 * USD, {}) == 0.4
    assert used(daily, 4 * USD, {("all", "global"): 6 * USD, ("mine", "global"): USD}) == 0.25
    assert math.isnan(used(daily, 0, {("all", "global"): -10 * USD})), "nothing is no share of nothing"


@dataclass
class Stand:
    database: Database
    streams: PlainClient
    metrics: Metrics
    gauges: MoneyGauges

    def value(self, family: Family, *labels: str) -> float:
        return self.metrics.values[self.metrics.slot(family, *labels)]


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with server(next(iter(BINARIES.values()))) as redis:
        streams, database = PlainClient(parse_store_url(redis.url), 5.0), connect(url, pool=2)
        metrics = Metrics(Sheet(SheetFiles.make()))
        yield Stand(
            database, streams, metrics, MoneyGauges(Outbox(streams.client, "me"), database, metrics, CLOCK, budgets())
        )
        await streams.close()
        await database.close()


async def test_what_waits_is_told_while_no_ledger_can_be_read(stand: Stand) -> None:
    """Nothing is moved then, and it is just then that somebody must hear of it."""
    flat = [part for pair in an_entry(a_record()).items() for part in pair]
    old_ms = CLOCK.now_ms() - 60_000
    await stand.streams.client.execute_command("XADD", "{m0}outbox", f"{old_ms}-0", *flat)
    task = asyncio.create_task(stand.gauges.run())
    await reached(lambda: stand.value(LEDGER_LAG) > 59)
    assert stand.value(OUTBOX_DEPTH) == 1
    task.cancel()


async def test_what_the_ledger_has_is_told_as_a_share(stand: Stand, tmp_path: Path) -> None:
    await migrate(f"sqlite:///{tmp_path}/ledger.db")
    now_ms = CLOCK.now_ms()
    charges = tuple(charge for _, charge in of_everybody(budgets(), now_ms))
    record = replace(a_record(cost_nanousd=5 * USD, charges=charges), created_ms=now_ms)
    await write(stand.database, [an_arrival(record)], now_ms)
    await Grants(stand.database).append(Grant("all", "global", 10 * USD, now_ms, now_ms + 60_000, "why", "who"))
    task = asyncio.create_task(stand.gauges.run())
    await reached(lambda: stand.value(BUDGET_USED, "all", "day") > 0)
    assert stand.value(BUDGET_USED, "all", "day") == 0.25
    assert stand.value(BUDGET_USED, "all", "month") == 5 / 110
    task.cancel()


async def test_a_budget_that_a_reload_takes_away_has_no_share_any_more(stand: Stand, tmp_path: Path) -> None:
    await migrate(f"sqlite:///{tmp_path}/ledger.db")
    await stand.gauges.tell()
    stand.gauges.budgets = ()
    await stand.gauges.tell()
    assert math.isnan(stand.value(BUDGET_USED, "all", "day"))
