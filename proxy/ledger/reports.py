"""What was used and spent, by whatever is asked: sums over the rows that stand, exact to the nano-dollar.

Days and months are UTC's, as providers bill. Give a replica's URL to ``database.connect`` and reports never meet the
mover; what a report sees is one state of the ledger.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Date, case, cast, func, select, text

from proxy.ledger.database import Database
from proxy.ledger.schema import usage


class By(StrEnum):
    """Words of ``sluicegate usage --by``."""

    TENANT = "tenant"
    ISSUER = "issuer"
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
    By.ISSUER: usage.c.issuer,
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


# Tuples: a report may have a hundred thousand lines, and a frozen dataclass takes ten times as long to make.
class Totals(NamedTuple):
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


class Line(NamedTuple):
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
# Of the transaction: groups that do not fit in PostgreSQL's 4 MiB would go through files.
_ROOM: Final = text("SET LOCAL work_mem = '64MB'")


def named_whole(by: Sequence[By]) -> list[By]:
    """With the issuer before the user, where it is not asked for: two issuers may both have a user 1."""
    if By.ISSUER in by:
        return list(by)
    return [each for what in by for each in ((By.ISSUER, what) if what is By.USER else (what,))]


async def report(
    database: Database, by: Sequence[By], since_ms: int | None = None, until_ms: int | None = None
) -> list[Line]:
    """Rows of ``[since_ms, until_ms)``: in time's order where time is asked by, else the dearest first.

    Without any ``by``, one line. Raises: LedgerAway.
    """
    keys = [_key(database, what) for what in by]
    totals = [_total(_TOTALS[name] if name in _TOTALS else func.sum(usage.c[name])) for name in Totals._fields]
    moments = [key for key, what in zip(keys, by, strict=True) if what in _WIDTH]
    dearest = totals[Totals._fields.index("cost_nanousd")].desc()
    query = select(*(key.label(f"key_{n}") for n, key in enumerate(keys)), *totals)
    query = query.group_by(*keys).order_by(*moments, dearest, *keys)
    if since_ms is not None:
        query = query.where(usage.c.created_at >= since_ms)
    if until_ms is not None:
        query = query.where(usage.c.created_at < until_ms)
    async with database.reading() as connection:
        if database.on_postgresql:
            await connection.execute(_ROOM)
        found = (await connection.execute(query)).all()
    times = [(n, _WIDTH[what]) for n, what in enumerate(by) if what in _WIDTH]
    lines = []
    for row in found:
        named = list(row[: len(by)])
        for n, width in times:
            named[n] = str(named[n])[:width]
        lines.append(Line(tuple(named), Totals._make(row[len(by) :])))
    return lines


def _key(database: Database, what: By) -> ColumnElement[Any]:
    if what not in _WIDTH:
        return _COLUMNS[what]
    if not database.on_postgresql:
        return func.substr(usage.c.created_at, 1, _WIDTH[what])
    local = func.timezone(text("'UTC'"), usage.c.created_at)
    # A date is four bytes to hash; text would be made for every row and thrown away for nearly all.
    return cast(local if what is By.DAY else func.date_trunc(text("'month'"), local), Date)


def _total(summed: ColumnElement[Any]) -> ColumnElement[int]:
    # PostgreSQL's sum of bigint is numeric, ten times as dear to read; nine billion dollars are enough for a line.
    return func.coalesce(cast(summed, BigInteger), 0)
