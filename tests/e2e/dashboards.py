"""A gateway to look at: its ledger has seen any number of tenants, its app fails where asked to, its provider bills."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proxy.admin.scopetexts import Subject
from proxy.admin.standings import Budgets
from proxy.core.clock import SystemClock
from proxy.core.identity import Identity, IdentityKind
from proxy.core.usage import Tokens, UsageRecord
from proxy.metering.calendar import period_edges
from proxy.policy.compiler import load
from proxy.policy.model import Period, Policy
from tests.admin.spent import filled
from tests.e2e.gateway import Gateway, bearer, get, running_command, token, volley
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider, call, post
from tests.ledger.samples import a_record

T = TypeVar("T")
TOKEN = "a-token-of-ops-0123456789"
HOSTILE = (
    '<img src=x onerror="document.title=1">',
    "<script>document.title = 1</script>",
    "' OR 1=1; --",
    "\u202eevil",
    "a" * 120,
    "tenant {{7*7}} ${7*7} `x`",
)
REST = """
metrics: {{address: "127.0.0.1:0", tenants: [acme, globex]}}
limits:
  per-tenant: {{scope: tenant, rate: 5/1h}}
  per-user: {{scope: user, rate: 1000000/1m}}
budgets:
  global: {{scope: global, daily: $400, monthly: $9_000}}
  tenant: {{scope: tenant, monthly: {{enterprise: $900, default: $60}}}}
routes:
  - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [global, tenant]}}
  - {{name: limited, match: {{path: "/limited/**"}}, upstream: app, limits: [per-tenant]}}
  - {{name: reports, match: {{path: "/reports/**"}}, upstream: app, limits: [per-user], cache: {{ttl: 1h}}}}
  - {{name: broken, match: {{path: "/broken/**"}}, upstream: gone, limits: [], auth: none}}
  - {{name: app, match: {{path: "/**"}}, upstream: app, limits: [], auth: optional}}
"""


@dataclass
class Stand:
    gateway: Gateway
    origin: Origin
    provider: Provider

    @property
    def page(self) -> str:
        return self.gateway.listener("admin") + "/dashboard/"

    async def traffic(self, scale: int = 1) -> dict[str, int]:
        """Some of everything, and how many requests it was."""
        fine = await volley(self.gateway, get("/hello", bearer()), 40 * scale, 4)
        cached = await volley(self.gateway, lambda n: get(f"/reports/{n % 3}", bearer()), 30 * scale, 4)
        limited = await volley(self.gateway, get("/limited/x", bearer(tenant="globex")), 12 * scale, 4)
        failing = await volley(self.gateway, get("/fails", bearer(tenant=HOSTILE[0])), 3 * scale, 1)
        gone = await volley(self.gateway, get("/broken/a?token=hunter2"), 2 * scale, 1)
        paid = await volley(self.gateway, post(call(prompt=2_000, output=300), token(tier="enterprise")), 4, 2)
        everything = [*fine, *cached, *limited, *failing, *gone, *paid]
        return {
            "all": len(everything),
            "refused": sum(one.status == 429 for one in everything),
            "failed": sum(one.status >= 500 for one in everything),
        }


async def fails(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


def tenants_of(count: int) -> list[str]:
    """acme first, then hostile ones as far as there is room, then any."""
    return ["acme", *HOSTILE, *(f"company-{number:04d}" for number in range(count))][:count]


def history(policy: Policy, names: list[str], now_ms: int) -> list[UsageRecord]:
    """What they have spent this month, each what its place says; a few calls by each, more by the first."""
    budgets, chance = Budgets(policy.budgets, now_ms), random.Random(7)
    month_ms = period_edges(now_ms, Period.MONTH, "UTC")[0]
    day_ms = period_edges(now_ms, Period.DAY, "UTC")[0]
    records = []
    for place, name in enumerate(names):
        subject = Subject(Identity(IdentityKind.USER, "", tenant=name), "", "", "")
        charges = tuple(budgets.charge(budget, subject) for budget in policy.budgets)
        for number in range(max(1, 60 // (place + 1))):
            at_ms = chance.randrange(month_ms, now_ms)
            of_then = tuple(one for one in charges if len(one.period) == len("2026-11") or at_ms >= day_ms)
            records.append(
                a_record(
                    f"h{place}-{number}", company_id=name, created_ms=at_ms, settled_ms=at_ms + 900,
                    subscription_tier="enterprise" if place % 3 == 0 else "trial",
                    tokens=Tokens(input=chance.randrange(100, 9_000), output=chance.randrange(20, 900)),
                    cost_nanousd=chance.randrange(10**8, 9 * 10**9) // (1 + place // 20), charges=of_then,
                )
            )  # fmt: skip
    return records


@contextlib.contextmanager
def standing(folder: Path, tenants: int, *, admin_token: str = TOKEN, address: str = "127.0.0.1:0") -> Iterator[Stand]:
    """A gateway whose ledger knows so many tenants."""
    with running_origin() as origin:
        provider = Provider()
        provider.attach(origin)
        origin.answers["/fails"] = fails
        text = policy(
            origin.port,
            REST.format(),
            admin_token=admin_token,
            upstreams=f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}\n'
            'gone: {primary: ["http://127.0.0.1:9"]}',
        )
        text = text.replace('metrics: {address: "127.0.0.1:0"}\n', "", 1)
        text = text.replace('admin: {address: "127.0.0.1:0"', f'admin: {{address: "{address}"', 1)
        config = folder / "config.yaml"
        config.write_text(text)
        made = load(config, {}).policy
        now_ms = SystemClock().now_ms()
        (folder / "data").mkdir(exist_ok=True)
        if not (folder / "data" / "ledger.db").exists():
            records = history(made, tenants_of(tenants), now_ms)
            apart(lambda: filled(f"sqlite:///{folder}/data/ledger.db", records, now_ms))
        with running_command(["run", "--config", str(config)], config) as gateway:
            if any(event["msg"].startswith("budgets are closed") for event in gateway.events):
                gateway.event("budgets are open")  # a ledger may have other users, whom a rebuild waits for
            yield Stand(gateway, origin, provider)


def apart(work: Callable[[], T]) -> T:
    """In a thread of its own: a browser's driver has a loop that runs in ours."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def run_traffic(stand: Stand, scale: int = 1) -> dict[str, int]:
    return apart(lambda: asyncio.run(stand.traffic(scale)))
