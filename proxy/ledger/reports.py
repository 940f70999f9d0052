"""What was used and spent, by whatever is asked: sums over the rows that stand, exact to the nano-dollar.

Days and months are UTC's, as providers bill. Give a replica's URL to ``database.connect`` and reports never meet the
mover; what a report sees is one state of the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, case, cast, func, select, text

from proxy.ledger.database import Database
from proxy.ledger.schema import usage


class By(StrEnum):
    """Words of ``sluicegate usage --by``."""

    TENANT = "tenant"
    USER = "user"
    TIER = "tier"
    MODEL = "model"
    PROVIDER = "provider"
    ROUTE = "route"
    FEATURE = "feature"
    COST_CENTRE = "cost_centre"
    CREDENTIAL = "credential"
    DAY = "day"
    MONTH = "month"


_COLUMNS: Final = {
    By.TENANT: usage.c.company_id,
    By.USER: usage.c.user_id,
    By.TIER: usage.c.subscription_tier,
    By.MODEL: usage.c.model,
    By.PROVIDER: usage.c.provider,
    By.ROUTE: usage.c.route,
    By.FEATURE: usage.c.feature,
    By.COST_CENTRE: usage.c.cost_centre,
    By.CREDENTIAL: usage.c.credential,
}
_WIDTH: Final = {By.DAY: len("2026-11-23"), By.MONTH: len("2026-11")}


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of a group. ``calls`` are upstream attempts; an adjustment moves the cost and is no call."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    estimated: int  # calls whose provider did not say what was used
    orphaned: int  # calls that were settled at their hold
    saved_nanousd: int
    cost_nanousd: int


@dataclass(frozen=True, slots=True)
class Line:
    """``keys`` in the order of what was asked by; None where a row has none."""

    keys: tuple[str | None, ...]
    totals: Totals


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


_IS_CALL: Final = usage.c.kind == "usage"
_TOTALS: Final = {
    "calls": _count(_IS_CALL),
    "estimated": _count(usage.c.estimated),
    "orphaned": _count(usage.c.orphaned),
}
_NAMES: Final = tuple(field.name for field in fields(Totals))


async def report(
    database: Database, by: Sequence[By], since_ms: int | None = None, until_ms: int | None = None
) -> list[Line]:
    """Rows of ``[since_ms, until_ms)``: in time's order where time is asked by, else the dearest first.

    Without any ``by``, one line. Raises: LedgerAway.
    """
    keys = [_key(database, what) for what in by]
    totals = [_TOTALS[name] if name in _TOTALS else func.sum(usage.c[name]) for name in _NAMES]
    query = select(*(key.label(f"key_{n}") for n, key in enumerate(keys)), *totals).group_by(*keys)
    if since_ms is not None:
        query = query.where(usage.c.created_at >= since_ms)
    if until_ms is not None:
        query = query.where(usage.c.created_at < until_ms)
    async with database.reading() as connection:
        found = (await connection.execute(query)).all()
    lines = [_line(by, row) for row in found]
    times = [n for n, what in enumerate(by) if what in _WIDTH]

    def order(line: Line) -> Any:
        named = tuple(key or "" for key in line.keys)
        return [line.keys[n] for n in times], -line.totals.cost_nanousd, named

    return sorted(lines, key=order)


def _key(database: Database, what: By) -> ColumnElement[Any]:
    if what not in _WIDTH:
        return _COLUMNS[what]
    if not database.on_postgresql:
        return func.substr(usage.c.created_at, 1, _WIDTH[what])
    local = func.timezone(text("'UTC'"), usage.c.created_at)
    # A date is four bytes to hash; text would be made for every row and thrown away for nearly all.
    return cast(local if what is By.DAY else func.date_trunc(text("'month'"), local), Date)


def _line(by: Sequence[By], row: Sequence[Any]) -> Line:
    keys = tuple(
        str(value)[: _WIDTH[what]] if what in _WIDTH else value for what, value in zip(by, row[: len(by)], strict=True)
    )
    return Line(keys, Totals(*(int(value or 0) for value in row[len(by) :])))
