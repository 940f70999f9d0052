"""What tenants used, a page at a time: found, sorted and cut by the database, so that a page of twenty-five costs its
reader the same among five tenants and among five thousand.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, case, cast, func, select

from proxy.ledger.database import Database
from proxy.ledger.schema import usage


class Order(StrEnum):
    """What a page may be sorted by."""

    TENANT = "tenant"
    CALLS = "calls"
    INPUT = "input_tokens"
    OUTPUT = "output_tokens"
    COST = "cost"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Wanted:
    """``contains``: of the tenant's id, in any case; "" for all. ``page`` begins at 1."""

    since_ms: int
    contains: str = ""
    order: Order = Order.COST
    descending: bool = True
    page: int = 1
    size: int = 25


class TenantUse(NamedTuple):
    """``tenant`` is None for what no tenant used; ``last_ms``: when its last call began."""

    tenant: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class TenantPage:
    """``page``: the one that is shown, the last where more were asked for than there are. Sums are of all pages."""

    rows: list[TenantUse]
    page: int
    count: int
    cost_nanousd: int


_ALL_INPUT: Final = usage.c.input_tokens + usage.c.cached_read_tokens + usage.c.cache_write_tokens


def _sum(of: Any) -> Any:
    return func.coalesce(cast(func.sum(of), BigInteger), 0)


async def tenants(database: Database, wanted: Wanted) -> TenantPage:
    """Raises: LedgerAway."""
    used = select(
        usage.c.company_id.label("tenant"),
        _sum(case((usage.c.kind == "usage", 1), else_=0)).label("calls"),
        _sum(_ALL_INPUT).label("input_tokens"),
        _sum(usage.c.output_tokens).label("output_tokens"),
        _sum(usage.c.cost_nanousd).label("cost"),
        func.max(usage.c.created_at, type_=usage.c.created_at.type).label("last"),
    ).where(usage.c.created_at >= wanted.since_ms)
    if wanted.contains:
        used = used.where(usage.c.company_id.icontains(wanted.contains, autoescape=True))
    grouped = used.group_by(usage.c.company_id).subquery()
    key = grouped.c[wanted.order.value]
    ordered = key.desc().nulls_last() if wanted.descending else key.asc().nulls_last()
    async with database.reading() as connection:
        count, cost = (await connection.execute(select(func.count(), _sum(grouped.c.cost)).select_from(grouped))).one()
        page = max(1, min(wanted.page, -(-count // wanted.size)))
        query = select(grouped).order_by(ordered, grouped.c.tenant).limit(wanted.size).offset((page - 1) * wanted.size)
        rows = [TenantUse(*row) for row in await connection.execute(query)]
    return TenantPage(rows, page, count, cost)
