"""What the dashboard asks of money: where budgets stand, what fired, who used how much, how a budget burns down. For
the clerk's process, which speaks SQL; bounded, however many tenants there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.admin import desk, shapes
from proxy.admin.dashboard.burndown import Burning, burndown
from proxy.admin.moments import back_ms, shown
from proxy.admin.scopetexts import Subject
from proxy.admin.standings import Budgets, Granted, Standing
from proxy.core.identity import Identity, IdentityKind
from proxy.core.usage import Charge, Spender, Spent
from proxy.ledger.database import Database
from proxy.ledger.deliveries import Deliveries, Told
from proxy.ledger.grants import Grants
from proxy.ledger.pace import paces
from proxy.ledger.sums import standing
from proxy.ledger.tabular import dollars
from proxy.ledger.tenants import Order, TenantPage, TenantUse, Wanted, tenants
from proxy.metering.budgets import period_name
from proxy.metering.calendar import period_edges
from proxy.policy.model import Policy, ScopeKind
from proxy.policy.spending import Budget

MOST_BUDGETS: Final = 40
MOST_ALERTS: Final = 20
PAGE: Final = 25
MOST_PAGES: Final = 1_000_000
MAX_FILTER: Final = 200

Arguments = Mapping[str, str]


async def overview(policy: Policy, _: Arguments, now_ms: int) -> dict[str, Any]:
    """Everybody's budgets first, then those that are used up most; and the newest alerts. Raises: Unanswered."""
    found, why = await desk.standings(policy, None, now_ms)
    async with desk.opened(desk.ledger_of(policy).url) as database:
        told = await Deliveries(database).recent(MOST_ALERTS)
    words = {_named(budget, now_ms): (budget.period.value, budget.on_exceed.value) for budget in policy.budgets}
    rows = [_standing(one, words) for one in sorted(found, key=_first)[:MOST_BUDGETS]]
    return {
        "at": shown(now_ms),
        "only_ledger": why,
        "budgets": rows,
        "more": max(0, len(found) - len(rows)),
        "alerts": [_alert(one) for one in told],
    }


def used(one: Standing) -> float | None:
    """The share of the amount that is settled or held; None where no amount is known. Pure."""
    if one.amount is None:
        return None
    gone = one.settled + (one.held or 0)
    return round(gone / one.amount, 4) if one.amount > 0 else float(gone > 0)


def _first(one: Standing) -> tuple[bool, float, str, str, str]:
    charge = one.charge
    return charge.scope != ScopeKind.GLOBAL, -(used(one) or 0.0), charge.budget, charge.scope, charge.period


def _named(budget: Budget, now_ms: int) -> tuple[str, str]:
    start_ms, _, _ = period_edges(now_ms, budget.period, budget.time_zone)
    return budget.name, period_name(start_ms, budget.period, budget.time_zone)


def _standing(one: Standing, words: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, Any]:
    length, on_exceed = words.get((one.charge.budget, one.charge.period), ("", ""))
    return {**shapes.of_standing(one), "used": used(one), "length": length, "on_exceed": on_exceed}


def _alert(one: Told) -> dict[str, Any]:
    """What its payload says to people; who is told is nobody's business here."""
    said: dict[str, Any] = orjson.loads(one.payload)
    return {
        "at_ms": one.fired_ms,
        "level": said.get("level", ""),
        "cause": said.get("cause", ""),
        "message": said.get("message", ""),
        "posts": one.posts,
        "delivered": one.delivered,
        "waiting": one.waiting,
    }


# --- tenants -----------------------------------------------------------------------------------------------------


def read_wanted(arguments: Arguments, now_ms: int) -> Wanted:
    """By query: since, filter, sort, order, page, if wanted. Raises: ValueError. Pure."""
    order, page = arguments.get("sort", Order.COST), arguments.get("page", "1")
    if order not in list(Order):
        raise ValueError(f"sort: there is no {order!r}, only {', '.join(Order)}")
    if not page.isascii() or not page.isdigit() or not 1 <= int(page[:9]) <= MOST_PAGES:
        raise ValueError("page: write a number from 1 on")
    direction = arguments.get("order", "desc")
    if direction not in ("asc", "desc"):
        raise ValueError("order: write asc or desc")
    contains = arguments.get("filter", "")
    if len(contains) > MAX_FILTER or "\0" in contains:
        raise ValueError(f"filter: at most {MAX_FILTER} characters, none of them NUL")
    since_ms = back_ms(arguments.get("since", "30d"), now_ms)
    return Wanted(since_ms, contains, Order(order), direction == "desc", int(page[:9]), PAGE)


async def tenant_page(policy: Policy, arguments: Arguments, now_ms: int) -> dict[str, Any]:
    """Raises: Unanswered, ValueError."""
    wanted = read_wanted(arguments, now_ms)
    ledger = desk.ledger_of(policy)
    async with desk.opened(ledger.read_url or ledger.url) as database:
        found = await tenants(database, wanted)
        tightest = await _tightest(policy, database, [row.tenant for row in found.rows], now_ms)
    return _page(found, wanted, tightest)


async def _tightest(
    policy: Policy, database: Database, names: Sequence[str | None], now_ms: int
) -> dict[str, Standing]:
    """Of each tenant's budgets, the one that is used up most, as the ledger has it."""
    budgets = Budgets(policy.budgets, now_ms)
    own = [budget for budget in policy.budgets if [scope.kind for scope in budget.scopes] == [ScopeKind.TENANT]]
    charges = {budgets.charge(budget, _tenant(name)): name for name in names if name is not None for budget in own}
    if not charges:
        return {}
    spent = {one.charge: one for one in await standing(database, list(charges))}
    granted = await Grants(database).totals(now_ms)
    found: dict[str, Standing] = {}
    for charge, name in charges.items():
        one = _stands(budgets, charge, spent.get(charge), granted)
        if name not in found or (used(one) or 0.0) > (used(found[name]) or 0.0):
            found[name] = one
    return found


def _tenant(name: str) -> Subject:
    return Subject(Identity(IdentityKind.USER, "", tenant=name), "", "", "")


def _stands(budgets: Budgets, charge: Charge, spent: Spent | None, granted: Granted) -> Standing:
    spender: Spender | None = None if spent is None else spent.spender
    return budgets.standing(charge, spender, granted, 0 if spent is None else spent.nanousd, None)


def _page(found: TenantPage, wanted: Wanted, tightest: Mapping[str, Standing]) -> dict[str, Any]:
    return {
        "rows": [_tenant_row(row, tightest.get(row.tenant or "")) for row in found.rows],
        "page": found.page,
        "pages": max(1, -(-found.count // wanted.size)),
        "count": found.count,
        "cost_usd": dollars(found.cost_nanousd),
        "sort": wanted.order.value,
        "order": "desc" if wanted.descending else "asc",
        "since": shown(wanted.since_ms),
    }


def _tenant_row(row: TenantUse, tightest: Standing | None) -> dict[str, Any]:
    return {
        "tenant": row.tenant,
        "calls": row.calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": dollars(row.cost_nanousd),
        "last_ms": row.last_ms,
        "budget": None if tightest is None else {**shapes.of_standing(tightest), "used": used(tightest)},
    }


# --- one budget --------------------------------------------------------------------------------------------------


async def burning(policy: Policy, arguments: Arguments, now_ms: int) -> dict[str, Any]:
    """By query: budget, scope, period, as ``overview`` names them. Raises: Unanswered, ValueError."""
    missing = [name for name in ("budget", "scope", "period") if name not in arguments]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    asked = Charge(arguments["budget"], arguments["scope"], arguments["period"])
    budget = next((one for one in policy.budgets if _named(one, now_ms) == (asked.budget, asked.period)), None)
    if budget is None:
        raise ValueError(f"no budget {asked.budget!r} has a period {asked.period!r} that has begun and not ended")
    found, why = await desk.standings(policy, asked.scope, now_ms)
    one = next((each for each in found if each.charge == asked), None)
    told: dict[str, Any] = {"budget": asked.budget, "scope": asked.scope, "period": asked.period, "only_ledger": why}
    if one is None or one.amount is None:
        return {**told, "chart": None}
    start_ms, end_ms, _ = period_edges(now_ms, budget.period, budget.time_zone)
    burns = Burning(start_ms, end_ms, now_ms, one.amount, one.settled, one.held or 0)
    ledger = desk.ledger_of(policy)
    async with desk.opened(ledger.read_url or ledger.url) as database:
        slices = await paces(database, one.charge, start_ms, burns.slice_ms)
    return {**told, "chart": burndown(burns, slices)}
