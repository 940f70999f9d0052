"""A policy that spends, and a ledger of what was spent by it, as a mover would have written it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxy.core.usage import Charge, Tokens, UsageRecord
from proxy.ledger.database import connect
from proxy.ledger.migrate import migrate
from proxy.ledger.writer import write
from tests.e2e.policies import policy
from tests.ledger.samples import a_record, an_arrival

UPSTREAM = 'openai: {primary: ["http://127.0.0.1:9"], dialect: openai}'
BUDGETS = """
budgets:
  time_zone: {zone}
  global: {{scope: global, daily: $1_000, monthly: $25_000, reserve: {{enterprise: 30%}}}}
  tenant: {{scope: tenant, monthly: {{enterprise: $5_000, default: $200}}}}
  user: {{scope: user, daily: $10}}
  model: {{scope: [tenant, model], weekly: $50}}
{more}
ledger: {{url: "{ledger}"}}
routes:
  - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [global, tenant, user, model]}}
"""


def ledger_url(folder: Path) -> str:
    return f"sqlite:///{folder}/ledger.db"


def spending_policy(folder: Path, *, zone: str = "UTC", more: str = "", ledger: str = "", **rest: Any) -> str:
    rules = BUDGETS.format(zone=zone, more=more, ledger=ledger or ledger_url(folder))
    return policy(9, rules, upstreams=UPSTREAM, **rest)


def written_policy(folder: Path, **rest: Any) -> Path:
    config = folder / "config.yaml"
    config.write_text(spending_policy(folder, **rest))
    return config


def filled(url: str, records: Sequence[UsageRecord], now_ms: int) -> None:
    """Makes the ledger and writes them into it."""

    async def fill() -> None:
        await migrate(url)
        database = connect(url, pool=1)
        try:
            await write(database, [an_arrival(record) for record in records], now_ms)
        finally:
            await database.close()

    asyncio.run(fill())


def a_call(name: str, at_ms: int, nanousd: int, *charges: Charge, **changes: Any) -> UsageRecord:
    tokens = Tokens(input=100, output=20, cached_read=5)
    return a_record(
        name, created_ms=at_ms, settled_ms=at_ms + 1, cost_nanousd=nanousd, tokens=tokens, charges=charges, **changes
    )
